"""``python -m nlcli``, and the command ``nlcli``."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import NoReturn


def _stopped(*_: object) -> NoReturn:
    """Ctrl-C while the program is still being read: nothing was begun."""
    with contextlib.suppress(OSError):
        os.write(2, b"nlcli: stopped; the same command continues where it was\n")
    os._exit(130)


def main() -> None:
    """Run the command line; an interrupt is one sentence from the first moment on."""
    handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if handled:
        signal.signal(signal.SIGINT, _stopped)
    from nlcli.cli import main as run
    from nlcli.interrupts import raise_until_heard

    if handled:
        raise_until_heard()
    run()


if __name__ == "__main__":
    main()
