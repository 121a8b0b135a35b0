"""What a part of the campaign reports."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Count:
    """One kind of attack.

    Attributes:
        part: Of the campaign, such as ``kills``.
        what: What was attacked, and how.
        times: How often.
        failures: What went against the promise, a line each; empty when all is well.
    """

    part: str
    what: str
    times: int = 0
    failures: list[str] = field(default_factory=list)

    def expect(self, holds: object, otherwise: str) -> None:
        """Note ``otherwise`` as a failure unless ``holds``."""
        if not holds:
            self.failures.append(otherwise)
