"""The gateway: the gRPC server in front of the broker."""

from penstock.server.gateway import Gateway
from penstock.server.gateways import Gateways, gateway_of, serve
from penstock.server.settings import ServerSettings

__all__ = ["Gateway", "Gateways", "ServerSettings", "gateway_of", "serve"]
