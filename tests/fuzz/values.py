"""What fields are filled with: what callers send, what is at a limit, and what hurts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from penstock.broker import ids
from penstock.server.tokens import seal_token

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "JOB_TYPE",
    "NUMBERS",
    "PLAUSIBLE",
    "PLAUSIBLE_BYTES",
    "hostile_bytes",
    "hostile_text",
]

JOB_TYPE: Final = "image.resize"

#: Lengths beside which some limit or some buffer lies.
_LENGTHS: Final = (1, 2, 36, 63, 64, 65, 127, 128, 129, 256, 257, 1_024, 1_025, 4_097, 65_536)
_UNITS: Final = ("x", "0", "é", "\U0001f986", " ", "{", "[", "*.", "a.", "\0")

_NASTY: Final = (
    "",
    " ",
    "\0",
    "\n",
    "\r\n",
    "\x7f",
    "\x85",
    "\u2028",
    "\u202e",
    "\ufeff",
    "\U0010ffff",
    "e\u0301",
    "ﬁ",
    "İ",
    "*",
    "**",
    "?",
    "[a-z]",
    "{",
    "}",
    "{}",
    "{a}{b}",
    "ps{default}",
    ":",
    "::",
    "0:",
    "0-0",
    "-1",
    "1e309",
    "NaN",
    "null",
    "0x10",
    "٣",
    "²",
    ".",
    "..",
    "../../etc/passwd",
    "-",
    "--help",
    "a b",
    "a:b:c",
    "a\tb",
    "%s%n",
    "%2e",
    "${x}",
    "' OR 1=1 --",
    "<script>",
    "\\",
    '"',
    "\r\n$-1\r\n",
    "*3\r\n$3\r\nSET\r\n",
    "__proto__",
    "redis.call('FLUSHALL')",
)

#: Whole numbers at which something changes.
NUMBERS: Final = (
    *(
        sign * value + step
        for value in (0, 1, 7, 8, 60, 100, 1_000, 86_400, 100_000, 1_000_000, 31_622_400, 10**9)
        for sign in (1, -1)
        for step in (-1, 0, 1)
    ),
    *(2**bits + step for bits in (7, 8, 15, 16, 31, 32, 53, 63, 64) for step in (-1, 0, 1)),
    *(-(2**bits) + step for bits in (7, 31, 32, 53, 63) for step in (-1, 0, 1)),
    -62_135_596_800,
    -62_135_596_801,
    253_402_300_799,
    253_402_300_800,
)

_PAYLOADS: Final = (
    b'{"width": 80}',
    b'{"width": 80}',
    b'{"width": 80, "name": "a"}',
    b'{"width": 0}',
    b'{"width": 1.0}',
    b'{"width": "80"}',
    b'{"width": 80, "width": 81}',
    b'{"width": 1e400}',
    b'{"width": ' + b"9" * 400 + b"}",
    b'{"width": NaN}',
    b'{"width": 80, "~/": 1}',
    b'{"\\ud800": 1}',
    b'{"width": 80, "name": "\\ud800"}',
    b'{"width": 80, "name": "\\u0000"}',
    b'\xef\xbb\xbf{"width": 80}',
    b"\xff\xfe{}",
    b"",
    b"null",
    b"[]",
    b"{}",
    b"0",
    b'"',
    b"[" * 63 + b"]" * 63,
    b"[" * 64 + b"]" * 64,
    b"[" * 65 + b"]" * 65,
    b"[" * 5_000,
    b'{"a":' * 5_000,
    b'["' + b"[" * 100 + b'"]',
    b"-" * 1_000,
)

_SCHEMAS: Final = (
    "",
    "true",
    "false",
    "{}",
    '{"type": "object"}',
    '{"type": "object", "required": ["width"]}',
    '{"type": 5}',
    '{"type": "nothing"}',
    '{"$ref": "#"}',
    '{"$ref": "#/definitions/a", "definitions": {"a": {"$ref": "#/definitions/a"}}}',
    '{"$ref": "http://127.0.0.1:1/x.json"}',
    '{"$ref": "file:///etc/passwd"}',
    '{"$schema": "http://nowhere.invalid/schema"}',
    '{"$id": "\\u0000", "$dynamicRef": "#x"}',
    '{"pattern": "(a+)+$"}',
    '{"pattern": "("}',
    '{"pattern": "(?<=a)b"}',
    '{"pattern": "a{100000}"}',
    '{"format": "nonsense"}',
    '{"minimum": 1e400}',
    '{"multipleOf": 0}',
    '{"maxLength": -1}',
    '{"enum": []}',
    "[]",
    "null",
    "{",
    "\0",
    "{" * 2_000,
    '{"not": ' * 300 + "{}" + "}" * 300,
    json.dumps({"properties": {f"p{n}": {"type": "string"} for n in range(200)}}),
)

_CRONS: Final = (
    "* * * * *",
    "*/5 * * * *",
    "0 3 * * *",
    "0 0 31 2 *",
    "0 0 29 2 1",
    "0 0 L * *",
    "0 0 LW * *",
    "0 0 * * 5#5",
    "0 0 * * MON-FRI",
    "@daily",
    "@hourly",
    "* * * * * *",
    "*/1 * * * * *",
    "60 * * * *",
    "*/0 * * * *",
    "1-0 * * * *",
    "0-59/99 * * * *",
    "1,2,3,,4 * * * *",
    "* * * *",
    "0 0 1 JAN,FEB *",
    "H H * * *",
    "* * * * * * *",
    "*/99999999999999999999 * * * *",
    "-1 * * * *",
    "٣ * * * *",
    "² * * * *",
    "\t* * * * *\n",
)
_ZONES: Final = (
    "",
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Antarctica/Troll",
    "Pacific/Apia",
    "Lord_Howe",
    "Australia/Lord_Howe",
    "Nowhere/At_All",
    "../UTC",
    "/etc/localtime",
    "Europe",
    "posixrules",
    "tzdata.zi",
    "zone1970.tab",
    "utc",
    "UTC\0",
)

_NAMES: Final = ("default", "bulk", "a", "a.b-c_1", "Z" * 64)
_TOPICS: Final = ("order.created", "order.paid", "a", "a.b.c.d", "order.*", "*", "**", "order.**")

#: Positions within a listing, as a page token holds them: some that the broker gives, and others.
_POSITIONS: Final = (
    "0:",
    "1:",
    "0:0",
    "0:0-0",
    "0:1-1",
    "0:9999999999999-18446744073709551615",
    "0:(5",
    "0:1 1",
    "1:inf",
    "7:nan",
    "4:1792000000000.5",
    "8:-1",
    "99:",
    "-1:",
    "1" * 5_000 + ":",
    "0:" + "9" * 5_000,
    "0:" + "z" * 26,
    "0:1792000000000 " + "0" * 26,
    ":",
    "\0",
    "a",
)


def hostile_text(chance: random.Random) -> str:
    """Some text that nobody wants: of a length at a limit, or of a meaning."""
    if chance.random() < 0.7:
        return chance.choice(_NASTY)
    return (chance.choice(_UNITS) * chance.choice(_LENGTHS))[: chance.choice(_LENGTHS)]


def hostile_bytes(chance: random.Random) -> bytes:
    """Likewise, bytes."""
    way = chance.random()
    if way < 0.6:
        return chance.choice(_PAYLOADS)
    if way < 0.8:
        return chance.randbytes(chance.choice((0, 1, 8, 64, 300)))
    return chance.choice((b"x", b"\0", b"[", b'"', b"\xff")) * chance.choice(_LENGTHS)


def _one_of(*values: str) -> Callable[[random.Random], str]:
    return lambda chance: chance.choice(values)


def _request_id(chance: random.Random) -> str:
    """Of a few, so that calls are repeated; now and then a new one."""
    return chance.choice(("", "r1", "r2", "r3", "r4")) or f"r{chance.getrandbits(40)}"


def _job_id(chance: random.Random) -> str:
    """One that has the form, and names nothing; or one that has it nearly."""
    tail = "".join(chance.choice(ids.ALPHABET) for _ in range(ids.JOB_ID_LENGTH))
    return chance.choice((tail, tail, tail[:-1], tail + "0", tail.upper(), f"il{tail[2:]}"))


def _token(chance: random.Random) -> str:
    """A page token; whoever reads the source can make one for any position."""
    queue, kind = chance.choice(("default", "")), chance.choice(("", JOB_TYPE))
    listing: Sequence[str] = chance.choice(
        (
            ("jobs", "default", "", ""),
            ("jobs", "default", "", kind),
            ("clean", "default", "succeeded", kind, "0"),
            ("dead letters", "default", kind),
            ("schedules", queue),
        )
    )
    return seal_token(chance.choice(_POSITIONS), *listing)


#: By the name of a field: what a caller might well send.
PLAUSIBLE: Final[Mapping[str, Callable[[random.Random], str]]] = {
    "content_type": _one_of(
        "", "", "application/json", "application/json; charset=utf-8", "text/plain", "a/b;c=d"
    ),
    "expression": _one_of(*_CRONS[:12] * 3, *_CRONS),
    "idempotency_key": _one_of("", "", "", "k1", "k2"),
    "job_id": _job_id,
    "json_schema": _one_of(*_SCHEMAS[:5] * 3, *_SCHEMAS),
    "key": _one_of("", "c1", "c2"),
    "message_id": _request_id,
    "name": _one_of("mail", "stock", "a"),
    "note": _one_of("", "a note"),
    "page_token": _token,
    "pattern": _one_of(*_TOPICS),
    "queue": _one_of("", *["default"] * 5, *_NAMES),
    "reason": _one_of("", "no more"),
    "request_id": _request_id,
    "schedule_id": _one_of("nightly", "hourly", "s1", "s2", "s3"),
    "service": _one_of("", "liveness", "penstock.v1.JobService"),
    "source": _one_of("", "shop"),
    "tag": _one_of("t1", "t2"),
    "tags": _one_of("t1", "t2"),
    "time_zone": _one_of(*_ZONES[:9] * 3, *_ZONES),
    "topic": _one_of(*_TOPICS[:4]),
    "type": _one_of(*[JOB_TYPE] * 12, "unknown.type", ""),
}
#: Payloads that the type's schema permits.
PLAUSIBLE_BYTES: Final = _PAYLOADS[:3]
