"""Where ``penstock`` begins. It imports nothing that an extra brings, and says which is missing."""

import sys

from penstock.cli.extras import missing_extra

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        from penstock.cli.main import main as run
    except ModuleNotFoundError as error:
        advice = missing_extra(error, sys.argv[1:])
        if advice is None:
            raise
        # As `report` would say it, which needs what is missing.
        sys.stderr.write(f"error: {advice}\n")
        sys.exit(2)
    run()
