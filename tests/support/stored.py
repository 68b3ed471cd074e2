"""All that a server stores, as JSON that any version of any server can take back.

Not DUMP and RESTORE, whose payloads a server reads only if it is not older than the one that made
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["put_back", "take_out"]

Call = "Callable[..., Awaitable[Any]]"
#: Fields of a record that are dates (ms); see `record.py`.
DATES: Final = ("c", "q", "st", "e", "du", "dl")
#: Sorted sets whose scores are dates.
DATED_SETS: Final = (":due", ":dl", ":z:D", ":z:F", ":z:C", ":z:E", ":active")


async def take_out(call: Callable[..., Awaitable[Any]]) -> dict[str, Any]:
    """Every key, with what is in it.

    Args:
        call: issues a command; replies are bytes.
    """
    keys = {}
    for key in sorted(await call("KEYS", "*")):
        kind = (await call("TYPE", key)).decode()
        ends_ms = await call("PEXPIRETIME", key)
        value = await _value(call, key, kind)
        keys[_text(key)] = {"kind": kind, "ends_ms": ends_ms, "value": value}
    seconds, _ = await call("TIME")
    return {"taken_ms": int(seconds) * 1000, "keys": keys}


async def put_back(call: Callable[..., Awaitable[Any]], stored: dict[str, Any]) -> None:
    """Stores it again, as if it had been taken out just now: dates move along.

    But for streams without entries, and for consumer groups, which are made when they are missed.
    """
    seconds, _ = await call("TIME")
    later_ms = int(seconds) * 1000 - stored["taken_ms"]
    for name, entry in stored["keys"].items():
        key = _bytes(name)
        for command in _commands(name, entry, later_ms):
            await call(command[0], key, *command[1:])
        if entry["ends_ms"] > 0:
            await call("PEXPIREAT", key, entry["ends_ms"] + later_ms)


async def _value(call: Callable[..., Awaitable[Any]], key: bytes, kind: str) -> Any:  # noqa: ANN401 - JSON.
    match kind:
        case "string":
            return _text(await call("GET", key))
        case "list":
            return [_text(each) for each in await call("LRANGE", key, 0, -1)]
        case "set":
            return sorted(_text(each) for each in await call("SMEMBERS", key))
        case "hash":
            return _pairs(await call("HGETALL", key))
        case "zset":
            return _pairs(await call("ZRANGE", key, 0, -1, "WITHSCORES"))
        case "stream":
            entries = await call("XRANGE", key, "-", "+")
            return [[_text(entry), [_text(each) for each in fields]] for entry, fields in entries]
    raise ValueError(kind)


def _commands(name: str, entry: dict[str, Any], later_ms: int) -> list[list[bytes | str | int]]:
    """What stores one key: each a command without its key."""
    value = entry["value"]
    match entry["kind"]:
        case "string":
            return [["SET", _bytes(value)]]
        case "list":
            return [["RPUSH", *map(_bytes, value)]]
        case "set":
            return [["SADD", *map(_bytes, value)]]
        case "hash":
            dated = ":j:" in name
            return [
                ["HSET", _bytes(field), _moved(_bytes(data), later_ms, dated and field in DATES)]
                for field, data in value
            ]
        case "zset":
            dated = name.endswith(DATED_SETS)
            return [
                ["ZADD", _moved(_bytes(score), later_ms, dated), _bytes(member)]
                for member, score in value
            ]
        case _:
            return [["XADD", entry_id, *map(_bytes, fields)] for entry_id, fields in value]


def _moved(data: bytes, later_ms: int, dated: bool) -> bytes | int:  # noqa: FBT001 - of a table.
    return int(data) + later_ms if dated else data


def _pairs(flat: list[bytes]) -> list[list[str]]:
    texts = [_text(each) for each in flat]
    return [list(pair) for pair in zip(texts[::2], texts[1::2], strict=True)]


def _text(data: bytes) -> str:
    return data.decode("latin-1")


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")
