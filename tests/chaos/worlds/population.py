"""The processes of a world but the server, and what each of them finds in its environment."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tests.chaos.worlds.member import Member

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.chaos.load.client import ClientSettings
    from tests.chaos.worlds.member import Crew

__all__ = ["Population"]


class Population:
    """Gateways, workers and clients, none of them started yet.

    Args:
        folder: takes their logs.
        journals: takes what they write down.

    Attributes:
        gateways: in the order of their ports.
        workers: in any order.
        clients: likewise.
    """

    def __init__(self, folder: Path, journals: Path) -> None:
        self._folder = folder
        self._journals = journals
        self.gateways: list[Member] = []
        self.workers: list[Member] = []
        self.clients: list[Member] = []

    def add_gateways(
        self, crew: Crew, ports: Sequence[int], url: str, settings: Mapping[str, Any]
    ) -> None:
        """One for each port, on a server at a URL; settings by the names of `ServerSettings`."""
        for number, port in enumerate(ports, 1):
            env = _environment(url, {"listen": f"127.0.0.1:{port}", **settings})
            self.gateways.append(self._member(crew, f"gateway-{number}", ["penstock.server"], env))

    def add_workers(
        self, crew: Crew, count: int, app: str, url: str, settings: Mapping[str, Any]
    ) -> None:
        """So many of one app, on a server at a URL; settings by the names of `WorkerSettings`."""
        env = _environment(url, settings)
        for number in range(1, count + 1):
            command = ["penstock.worker", app]
            self.workers.append(self._member(crew, f"worker-{number}", command, env))

    def add_clients(self, crew: Crew, count: int, settings: ClientSettings) -> None:
        """So many, of many sessions each."""
        env = {"CHAOS_CLIENT": json.dumps(asdict(settings))}
        for number in range(1, count + 1):
            command = ["tests.chaos.load.client"]
            self.clients.append(self._member(crew, f"client-{number}", command, env))

    def _member(
        self, crew: Crew, name: str, command: Sequence[str], env: Mapping[str, str]
    ) -> Member:
        return Member(crew, name, command, env, folder=self._folder, journals=self._journals)


def _environment(url: str, settings: Mapping[str, Any]) -> dict[str, str]:
    own = {f"PENSTOCK_{name.upper()}": str(value) for name, value in settings.items()}
    return {"PENSTOCK_REDIS_URL": url, "PENSTOCK_LOG_FORMAT": "json", **own}
