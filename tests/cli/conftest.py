"""One stack for all tests of the commands: a ``penstock dev`` with its playground."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.running import Dev, penstock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.running import Answer

    Command = Callable[..., Answer]


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """A server, a gateway and a worker with the playground's job types."""
    with Dev(tmp_path_factory.mktemp("dev")) as running:
        yield running


@pytest.fixture
def run(dev: Dev) -> Command:
    """Runs a command against it."""

    def command(*arguments: str, **options: str) -> Answer:
        return penstock(*arguments, address=dev.address, **options)

    return command
