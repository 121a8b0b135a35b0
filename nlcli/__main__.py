"""``python -m nlcli``."""

from nlcli.cli import main

if __name__ == "__main__":
    main()
