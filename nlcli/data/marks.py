"""The words that tables have for right, wrong and not said, the same for every table that is read."""

from __future__ import annotations

YES = ("1", "1.0", "true", "yes", "y", "t", "right", "correct")
NO = ("0", "0.0", "false", "no", "n", "f", "wrong", "incorrect")
NOT_SAID = ("", "-1", "-1.0")
MARKS = {**dict.fromkeys(YES, 1), **dict.fromkeys(NO, 0), **dict.fromkeys(NOT_SAID, -1)}
"""By the word in lower case: 1 right, 0 wrong, -1 not said."""
