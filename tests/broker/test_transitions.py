"""The state machine: every arrow is taken by the real scripts, and nothing else ever moves a job.

Whatever operation meets a job in a state from which it has no arrow must leave no trace: not in the
record, not in any structure.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from penstock.broker import TERMINAL, TRANSITIONS, JobState, StaleToken
from tests.broker.arrows import (
    ARROWS,
    COMPLETE,
    FAIL,
    FAIL_CANCELLED,
    FAIL_FINAL,
    FORBIDDEN,
    IN_STATE,
    RELEASE,
    RELEASE_LATER,
    RUNNING_OPERATIONS,
    Operation,
)
from tests.broker.rig import states_of

if TYPE_CHECKING:
    from tests.broker.arrows import Act
    from tests.broker.rig import Rig


def test_the_arrows_tested_here_are_those_of_the_table_script_by_script() -> None:
    documented = {
        arrow: set(re.findall(r"\w+", reason.rpartition("(")[2]))
        for arrow, reason in TRANSITIONS.items()
    }
    tested: dict[tuple[JobState, JobState], set[str]] = {}
    for start, operation, _, end in ARROWS:
        tested.setdefault((start, end), set()).add(operation.script)
    assert tested == documented
    assert not any(start in TERMINAL for start, _ in TRANSITIONS)


@pytest.mark.parametrize(
    ("start", "operation", "circumstance", "end"),
    [
        pytest.param(*arrow, id=f"{arrow[0].name}-{arrow[1]}-{arrow[2] and arrow[2].__name__}")
        for arrow in ARROWS
    ],
)
async def test_an_arrow(
    rig: Rig, start: JobState, operation: Operation, circumstance: Act | None, end: JobState
) -> None:
    grant = await IN_STATE[start](rig)
    before = await rig.job(grant.job_id)
    for prepare in (circumstance, operation.before):
        if prepare:
            await prepare(rig, grant)
    await operation.act(rig, grant)

    after = await rig.job(grant.job_id)
    assert after.state is end
    assert after.last_sequence == before.last_sequence + 1
    assert states_of(await rig.events(grant.job_id))[-2:] == [start, end]
    assert (after.finished_ms is not None) == (end in TERMINAL)


@pytest.mark.parametrize(
    ("state", "operation"),
    [pytest.param(*pair, id=f"{pair[0].name}-{pair[1]}") for pair in FORBIDDEN],
)
async def test_what_has_no_arrow_leaves_no_trace(
    rig: Rig, state: JobState, operation: Operation
) -> None:
    grant = await IN_STATE[state](rig)
    if operation.before:
        await operation.before(rig, grant)
    before = await rig.snapshot()
    with suppress(StaleToken):
        await operation.act(rig, grant)
    assert await rig.snapshot() == before


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.RUNNING])
async def test_renewing_a_job_that_is_not_running_tells_the_worker_to_stop(
    rig: Rig, state: JobState
) -> None:
    grant = await IN_STATE[state](rig)
    renewal = await rig.broker.attempts.renew({grant.job_id: grant.fencing_token})
    assert [answer.name for answer in renewal.values()] == ["LOST"]


@pytest.mark.parametrize(
    "operation",
    [COMPLETE, FAIL, FAIL_FINAL, FAIL_CANCELLED, RELEASE, RELEASE_LATER, *RUNNING_OPERATIONS],
    ids=str,
)
@pytest.mark.parametrize("state", list(JobState))
async def test_a_write_with_an_old_token_is_refused_in_every_state(
    rig: Rig, state: JobState, operation: Operation
) -> None:
    grant = await IN_STATE[state](rig)
    before = await rig.snapshot()
    old = replace(grant, fencing_token=grant.fencing_token - 1)
    if operation.script == "renew":
        await operation.act(rig, old)
    else:
        with pytest.raises(StaleToken) as refused:
            await operation.act(rig, old)
        assert refused.value.state is state
    assert await rig.snapshot() == before
