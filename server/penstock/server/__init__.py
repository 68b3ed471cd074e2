"""The gateway: the gRPC server in front of the broker."""

from penstock.server.gateway import Gateway, serve
from penstock.server.settings import ServerSettings

__all__ = ["Gateway", "ServerSettings", "serve"]
