"""Requests by chance: as a caller would write them, with a twist, wild, torn, or no message at all.

Everything that is left to chance is drawn from one `random.Random`: a seeded one repeats a run, and
Hypothesis's shrinks what it finds.
"""

from __future__ import annotations

import struct
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from tests.fuzz.values import NUMBERS, PLAUSIBLE, PLAUSIBLE_BYTES, hostile_bytes, hostile_text

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

__all__ = ["Forge"]

#: How much of a request is hostile: drawn for each anew.
_HOSTILITIES: Final = (0.0, 0.0, 0.0, 0.02, 0.1, 0.5, 1.0)
#: How many of the fields are given that a request can do without: likewise.
_DENSITIES: Final = (0.0, 0.1, 0.2, 0.5, 0.9)
#: Of values that answers gave: kept of each field.
_KEPT: Final = 64
_DEEPEST: Final = 6
_MOST: Final = 12

_TYPE = FieldDescriptor
#: The first number that is too large.
_BEYOND: Final[Mapping[int, int]] = {
    _TYPE.TYPE_INT32: 1 << 31,
    _TYPE.TYPE_INT64: 1 << 63,
    _TYPE.TYPE_ENUM: 1 << 31,
}
_DOUBLES: Final = (0.0, -0.0, 0.5, 1.0, 1e3, 1e308, -1.0, 5e-324, float("inf"), float("nan"))


class Forge:
    """Makes requests.

    Args:
        chance: everything is drawn from it.
        learn: whether what answers told is used in later requests.
    """

    def __init__(self, chance: random.Random, *, learn: bool = True) -> None:
        self.chance = chance
        self._learn = learn
        self._density = 0.0
        self.known: dict[str, list[Any]] = defaultdict(list)

    def learn(self, answer: Message) -> None:
        """Takes ids, tokens and versions from an answer."""
        if not self._learn:
            return
        for field, value in answer.ListFields():
            if field.message_type is not None:
                if field.message_type.GetOptions().map_entry:
                    continue
                parts = value if field.is_repeated else [value]
                for part in parts[:_MOST]:
                    self.learn(part)
            elif not field.is_repeated and field.name in _LEARNT:
                self.teach(_LEARNT[field.name], value)

    def teach(self, name: str, value: object) -> None:
        """Has a field's value used from now on; the oldest are forgotten."""
        values = self.known[name]
        if value not in values:
            values.append(value)
            del values[:-_KEPT]

    def request(self, kind: Descriptor) -> bytes:
        """The bytes of one request of that type."""
        chance = self.chance
        way = chance.random()
        if way < 0.04:
            return self._noise()
        data = self.message(kind).SerializeToString()
        return self._torn(data) if way < 0.14 else data

    def message(self, kind: Descriptor) -> Message:
        """A message of that type."""
        self._density = self.chance.choice(_DENSITIES)
        made: Message = self._message(kind, self.chance.choice(_HOSTILITIES), 0)
        return made

    def _message(self, kind: Descriptor, hostility: float, depth: int) -> Any:  # noqa: ANN401 - as `message`.
        message: Any = GetMessageClass(kind)()
        chance = self.chance
        if kind.full_name == "google.protobuf.Duration" and chance.random() >= hostility:
            message.FromMilliseconds(chance.choice((1, 50, 1_000, 60_000, 3_600_000)))
            return message
        if kind.full_name == "google.protobuf.Timestamp" and chance.random() >= hostility:
            ahead_s = chance.choice((-3_600, 0, 1, 60, 86_400, 31_000_000))
            message.FromSeconds(int(time.time()) + ahead_s)
            return message
        # Ids are nearly always there: without them most calls end where they begin.
        for field in kind.fields:
            wanted = 0.97 if field.name in _ESSENTIAL else self._density
            if chance.random() < wanted:
                self._fill(message, field, hostility, depth)
        return message

    def _fill(self, message: Any, field: FieldDescriptor, hostility: float, depth: int) -> None:  # noqa: ANN401 - fields are set by name.
        chance = self.chance
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            pairs = getattr(message, field.name)
            for _ in range(self._count(hostility)):
                key, value = (self._text(name, hostility) for name in ("key", "value"))
                pairs[key] = value
        elif kind is not None:
            if depth >= _DEEPEST:
                return
            many = self._count(hostility) if field.is_repeated else 1
            for _ in range(many):
                part = self._message(kind, hostility, depth + 1)
                if field.is_repeated:
                    getattr(message, field.name).append(part)
                else:
                    getattr(message, field.name).CopyFrom(part)
        elif field.is_repeated:
            values = [self._scalar(field, hostility) for _ in range(self._count(hostility))]
            getattr(message, field.name).extend(values)
        elif field.containing_oneof is None or chance.random() < 0.7:
            setattr(message, field.name, self._scalar(field, hostility))

    def _count(self, hostility: float) -> int:
        chance = self.chance
        if chance.random() < hostility / 20:
            return chance.choice((16, 17, 32, 33, 100, 1_001))
        return chance.choice((1, 1, 2, 3))

    def _scalar(self, field: FieldDescriptor, hostility: float) -> object:
        chance = self.chance
        is_hostile = chance.random() < hostility
        match field.type:
            case _TYPE.TYPE_STRING:
                value: object = self._text(field.name, hostility)
            case _TYPE.TYPE_BYTES:
                value = hostile_bytes(chance) if is_hostile else chance.choice(PLAUSIBLE_BYTES)
            case _TYPE.TYPE_BOOL:
                value = chance.random() < 0.5
            case _TYPE.TYPE_DOUBLE:
                wild = struct.unpack("<d", chance.randbytes(8))[0]
                value = chance.choice((*_DOUBLES, wild) if is_hostile else (0.0, 1.0, 2.0))
            case _:
                value = self._number(field, is_hostile=is_hostile)
        return value

    def _number(self, field: FieldDescriptor, *, is_hostile: bool) -> int:
        chance = self.chance
        if field.enum_type is not None and not is_hostile:
            return int(chance.choice(field.enum_type.values).number)
        known = self.known.get(field.name)
        if known and chance.random() < 0.5:
            return int(chance.choice(known))
        number = chance.choice(NUMBERS if is_hostile else (0, 1, 2, 3, 10))
        beyond = _BEYOND[field.type]
        return max(-beyond, min(number, beyond - 1))

    def _text(self, name: str, hostility: float) -> str:
        chance = self.chance
        if chance.random() < hostility:
            return hostile_text(chance)
        known = self.known.get(name)
        if known and chance.random() < 0.8:
            text = str(chance.choice(known))
            return self._nudged(text) if chance.random() < hostility else text
        plausible = PLAUSIBLE.get(name)
        return plausible(chance) if plausible else chance.choice(("a", "b", "c"))

    def _nudged(self, text: str) -> str:
        """Nearly the same."""
        chance = self.chance
        at = chance.randint(0, len(text))
        return chance.choice(
            (text[:at], text[at:], text[:at] + hostile_text(chance) + text[at:], text + text)
        )

    def _noise(self) -> bytes:
        """What no client sends."""
        chance = self.chance
        way = chance.randint(0, 3)
        if way == 0:
            return chance.randbytes(chance.choice((1, 2, 8, 40, 300)))
        if way == 1:
            # Messages within messages, each of field 1, as deep as may be.
            data = b""
            for _ in range(chance.choice((10, 99, 100, 101, 1_000))):
                data = b"\x0a" + _varint(len(data)) + data
            return data
        if way == 2:
            return b"\x0b" * chance.choice((1, 100, 10_000))  # Groups that never end.
        number = chance.choice((1, 2, 15, 16, 19_000, 2**29 - 1, 0))
        wire = chance.randint(0, 7)
        return _varint(number << 3 | wire) + chance.randbytes(12)

    def _torn(self, data: bytes) -> bytes:
        """A message that something happened to."""
        chance = self.chance
        torn = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 5))):
            at = chance.randint(0, len(torn))
            way = chance.randint(0, 5)
            if way == 0 and torn:
                torn[at % len(torn)] ^= 1 << chance.randint(0, 7)
            elif way == 1:
                del torn[at:]
            elif way == 2:
                del torn[at : at + chance.randint(1, 8)]
            elif way == 3:
                torn[at:at] = chance.randbytes(chance.randint(1, 8))
            elif way == 4:
                torn += torn[at:]
            else:
                torn[at:at] = _varint(chance.choice((2**31, 2**32, 2**63, 2**64 - 1)))
        return bytes(torn)


def _varint(number: int) -> bytes:
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


#: What is taken from answers, and the field that it goes to.
_LEARNT: Final = {
    "job_id": "job_id",
    "last_sequence": "after_sequence",
    "message_id": "message_id",
    "next_page_token": "page_token",
    "schedule_id": "schedule_id",
    "version": "version",
}
_ESSENTIAL: Final = frozenset(
    {
        "cron",
        "data",
        "expression",
        "job",
        "job_id",
        "jobs",
        "name",
        "pattern",
        "payload",
        "policy",
        "queue",
        "rule",
        "schedule_id",
        "spec",
        "states",
        "subscription",
        "targets",
        "timing",
        "topic",
        "ttl",
        "type",
    }
)
