"""Scripts: how their text is assembled, and how they run although the server forgets them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from penstock.broker.errors import ReplyError
from penstock.broker.link import RedisLink
from penstock.broker.script import Script, ScriptError, all_scripts, load_all, load_script
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from penstock.runtime.embedded import EmbeddedServer


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[RedisLink]:
    async with RedisLink(redis_url) as link:
        await link.call("SCRIPT", "FLUSH")
        yield link


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lib").mkdir()
    return tmp_path


# Assembling.


def test_an_include_is_replaced_by_its_file_once_and_the_shebang_stays_first(folder: Path) -> None:
    (folder / "lib/one.lua").write_text("local one = 1\n")
    (folder / "lib/two.lua").write_text("--#include lib/one.lua\nlocal two = one + 1\n")
    (folder / "sum.lua").write_text(
        "#!lua flags=no-writes\n-- Adds.\n--#include lib/two.lua\n--#include lib/one.lua\n"
        "return one + two\n"
    )
    script = load_script("sum", folder)
    assert script.name == "sum"
    assert script.source == (
        "#!lua flags=no-writes\n-- Adds.\nlocal one = 1\nlocal two = one + 1\nreturn one + two\n"
    )


def test_files_that_include_each_other_come_in_once(folder: Path) -> None:
    (folder / "lib/a.lua").write_text("--#include lib/b.lua\n-- a\n")
    (folder / "lib/b.lua").write_text("--#include lib/a.lua\n-- b\n")
    (folder / "x.lua").write_text("#!lua\n--#include lib/a.lua\n")
    assert load_script("x", folder).source == "#!lua\n-- b\n-- a\n"


@pytest.mark.parametrize(
    ("script", "library", "fault"),
    [
        (None, "", "no script file x.lua"),
        ("#!lua\n--#include lib/none.lua\n", "", "no script file lib/none.lua"),
        ("-- no shebang\n", "", "x.lua does not begin with #!lua"),
        ("#!lua\n--#include lib/l.lua\n", "#!lua\n", "lib/l.lua, included by x.lua, begins with"),
    ],
)
def test_a_script_at_fault_is_refused(
    folder: Path, script: str | None, library: str, fault: str
) -> None:
    if script is not None:
        (folder / "x.lua").write_text(script)
    (folder / "lib/l.lua").write_text(library)
    with pytest.raises(ScriptError, match=fault):
        load_script("x", folder)


def test_every_script_of_the_package_can_be_assembled() -> None:
    names = [script.name for script in all_scripts()]
    assert "submit" in names
    assert names == sorted(names)
    assert not [script.name for script in all_scripts() if "--#include" in script.source]


# Running.

ECHO = Script("echo", "#!lua\nreturn {KEYS[1] or false, ARGV[1], ARGV[2]}\n")
COUNT = Script("count", "#!lua\nreturn redis.call('INCR', KEYS[1])\n")
FAULTY = Script("faulty", "#!lua\nreturn redis.call('LPUSH', KEYS[1], 'x')\n")


async def test_a_script_runs_although_the_server_does_not_know_it(link: RedisLink) -> None:
    assert await ECHO.run(link, [b"{s}k"], ["é", 7]) == [b"{s}k", "é".encode(), b"7"]
    assert await link.call("SCRIPT", "EXISTS", ECHO.sha1) == [1]
    assert await ECHO.run(link, [], [b"\x00", ""]) == [None, b"\x00", b""]


async def test_a_script_is_issued_at_once_and_runs_once(link: RedisLink) -> None:
    first = [COUNT.run(link, [b"n"], []) for _ in range(20)]  # None is known yet.
    assert sorted([await call for call in first]) == list(range(1, 21))
    calls = [COUNT.run(link, [b"n"], []) for _ in range(20)]
    assert await link.call("GET", "n") == b"40"  # Issued last, so answered last.
    assert await asyncio.gather(*calls) == list(range(21, 41))


async def test_a_script_survives_a_flush_between_two_calls(link: RedisLink) -> None:
    assert await COUNT.run(link, [b"n"], []) == 1
    link.send("SCRIPT", "FLUSH")
    assert await COUNT.run(link, [b"n"], []) == 2


async def test_an_error_of_the_script_itself_is_raised_and_not_repeated(link: RedisLink) -> None:
    await link.call("SET", "text", "x")
    for _ in ("sent as text", "sent by digest"):
        with pytest.raises(ReplyError) as caught:
            await FAULTY.run(link, [b"text"], [])
        assert caught.value.code == "WRONGTYPE"


async def test_a_cancelled_script_leaves_the_others_their_replies(link: RedisLink) -> None:
    await ECHO.run(link, [], [1, 1])

    async def run(number: int) -> object:
        return await ECHO.run(link, [], [number, number])

    tasks = [asyncio.create_task(run(number)) for number in range(100)]
    await asyncio.sleep(0)  # All are issued.
    for task in tasks[::2]:
        task.cancel()
    replies = await asyncio.gather(*tasks[1::2])
    numbers = [str(number).encode() for number in range(1, 100, 2)]
    assert replies == [[None, number, number] for number in numbers]


async def test_the_hook_loads_every_script_at_each_connect(
    redis_server: EmbeddedServer, redis_url: str
) -> None:
    link = RedisLink(redis_url)
    link.on_connect.append(load_all)
    digests = [script.sha1 for script in all_scripts()]
    async with link:
        assert await link.call("SCRIPT", "EXISTS", *digests) == [1] * len(digests)
        redis_server.kill()
        redis_server.start()
        await eventually(lambda: link.stats.connects == 2, "the link has reconnected")
        assert await link.call("SCRIPT", "EXISTS", *digests) == [1] * len(digests)
