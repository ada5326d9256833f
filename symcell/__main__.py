"""``python -m symcell``: the command line."""

from symcell.cli import main

if __name__ == "__main__":
    main()
