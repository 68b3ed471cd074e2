"""``python -m penstock.cli``: the same as ``penstock``."""

from penstock.cli.entry import main

if __name__ == "__main__":
    main()
