"""The events in TypeScript carry what those in Python do."""

from __future__ import annotations

import re

import pytest

from examples.event_bus.events import EVENTS
from examples.harness.stack import REPOSITORY

SOURCE = (REPOSITORY / "clients/typescript/examples/event-bus/bus.ts").read_text()
KINDS = {"str": "string", "int": "number"}


@pytest.mark.parametrize("topic", EVENTS)
def test_the_types_of_the_typescript_producer_are_the_same(topic: str) -> None:
    model = EVENTS[topic][0]
    assert f'"{topic}": {model.__name__};' in SOURCE
    found = re.search(rf"interface {model.__name__} {{\n(.*?)}}", SOURCE, re.DOTALL)
    assert found, f"{model.__name__} is missing"
    fields = {name: KINDS[str(kind)] for name, kind in model.__annotations__.items()}
    assert dict(re.findall(r"  (\w+): (\w+);", found[1])) == fields
