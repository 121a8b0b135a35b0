"""``python -m nlcli``."""

from __future__ import annotations

from nlcli.cli import main

if __name__ == "__main__":
    main()
