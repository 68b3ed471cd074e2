"""``python -m penstock.server``: a gateway, configured by the environment."""

import sys
from typing import Final

from penstock.broker import UnsafeServer
from penstock.runtime import ConfigurationError, ProcessDied, configure_logging, run
from penstock.server.gateways import serve
from penstock.server.settings import ServerSettings

#: EX_CONFIG of sysexits: no restart mends it.
BAD_CONFIGURATION: Final = 78


def main() -> int:
    """Run a gateway until it is told to stop; returns the exit code."""
    try:
        settings = ServerSettings.load()
        configure_logging(settings.log_level, settings.log_format)
        run(lambda: serve(settings), event_loop=settings.event_loop)
    except (ConfigurationError, UnsafeServer) as error:
        sys.stderr.write(f"penstock: {error}\n")
        return BAD_CONFIGURATION
    except ProcessDied as error:
        sys.stderr.write(f"penstock: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
