"""Errors: an exit code that scripts can rely on, a line that says what to do, no traceback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from penstock.cli.exits import ExitCode
from penstock.cli.faults import UnsettledSubmitError, explain
from penstock.cli.payloads import JSON_TYPE
from penstock.cli.submitting import After, Order, submit_one
from penstock.client import AsyncClient
from tests.cli.running import penstock
from tests.client.scripted import ScriptedGateway, hangs
from tests.support.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Command

CASES = {
    "no JSON": (["submit", "echo", "-p", "{a"], 2, "at line 1, column 2"),
    "no such file": (["submit", "echo", "-p", "@/no/such"], 2, "cannot be read"),
    "no such command": (["sumbit"], 2, "submit"),
    "no type": (["submit"], 2, "TYPE"),
    "no duration": (["submit", "echo", "--delay", "soon"], 2, "1h30m"),
    "no time": (["submit", "echo", "--run-at", "soon"], 2, "2030-01-31T18:00"),
    "no pair": (["submit", "echo", "-m", "alone"], 2, "KEY=VALUE"),
    "two payloads": (["submit", "echo", "-p", "1", "-f", "-"], 2, "exclude each other"),
    "one id for many": (["submit", "echo", "-f", "-", "--request-id", "x"], 2, "one by one"),
    "two starts": (["submit", "echo", "--delay", "1s", "--run-at", "2030-01-01"], 4, "run_at"),
    "bad payload": (["submit", "countdown", "-p", '{"start": 0}'], 4, "/start"),
    "bad queue name": (["submit", "echo", "-q", "a{b"], 4, "queue"),
    "unknown type": (["submit", "nothing"], 4, "--allow-unregistered"),
    "malformed id": (["status", "nothing"], 4, "job_id"),
    "unknown queue": (["queues", "stats", "nowhere"], 4, "nowhere"),
}


@pytest.mark.parametrize(("arguments", "code", "text"), CASES.values(), ids=CASES)
def test_an_error_has_its_exit_code_and_says_why(
    run: Command, arguments: list[str], code: int, text: str
) -> None:
    answer = run(*arguments)
    assert answer.code == code, answer
    assert text in answer.err
    assert answer.out == ""
    assert "Traceback" not in answer.err


def test_what_to_do_about_an_unknown_type_is_said_once(run: Command) -> None:
    err = run("submit", "nothing").err
    assert err.count("unregistered") == 1, err


@pytest.mark.parametrize(
    "arguments",
    [["status", "x"], ["submit", "echo"], ["watch", "x"]],
    ids=lambda arguments: str(arguments[0]),
)
def test_no_gateway_is_exit_code_3_at_once_and_says_how_to_get_one(arguments: list[str]) -> None:
    answer = penstock(*arguments, address=f"127.0.0.1:{free_port()}")
    assert answer.code == 3, answer
    assert "no gateway answers at 127.0.0.1" in answer.err
    assert "penstock dev" in answer.err


async def test_a_submit_without_an_answer_names_the_request_id_that_settles_it() -> None:
    order = Order("echo", {"content_type": JSON_TYPE, "queue": "default", "request_id": ""})
    after = After(watch=False, wait=False, timeout=None)
    async with ScriptedGateway() as gateway:
        gateway.on("SubmitJob", hangs)
        async with AsyncClient(gateway.address, timeout=0.2) as client:
            with pytest.raises(UnsettledSubmitError) as trouble:
                await submit_one(client, order, None, after)
        sent = {request.job.request_id for request in gateway.requests["SubmitJob"]}
    fault = explain(trouble.value)
    assert (fault.code, fault.kind) == (ExitCode.UNREACHABLE, "DEADLINE_EXCEEDED")
    (request_id,) = sent
    assert f"--request-id {request_id} settles it" in fault.hints[0]


@pytest.mark.parametrize("option", ["--cache-key", "--idempotency-key", "--request-id"])
def test_a_key_that_is_given_and_empty_is_refused(option: str) -> None:
    answer = penstock("submit", "echo", "--cache-ttl", "5m", option, "", COLUMNS="200")
    assert answer.code == 2, answer
    assert option in answer.err
    assert "it is empty: is a variable not set?" in answer.err
    scripted = penstock("submit", "echo", "--json", f"{option}=")
    assert scripted.code == 2, scripted
    assert "it is empty" in json.loads(scripted.err)["error"]["message"]


@pytest.mark.parametrize("address", ["localhost", "http://127.0.0.1:50051", "127.0.0.1:"])
def test_a_malformed_address_is_refused_with_its_form(address: str) -> None:
    answer = penstock("queues", address=address)
    assert answer.code == 2, answer
    assert "HOST:PORT" in answer.err


def test_the_version_is_an_option_too() -> None:
    assert penstock("--version").out.startswith("penstock ")


def test_scripts_get_errors_as_json_too(run: Command) -> None:
    answer = run("submit", "countdown", "-p", '{"start": 0}', "--json")
    assert answer.out == ""
    error = json.loads(answer.err)["error"]
    assert error.keys() == {"code", "details", "hints", "kind", "message"}
    assert (error["code"], error["kind"]) == (4, "INVALID_ARGUMENT")
    assert error["details"]["status"] == "INVALID_ARGUMENT"
    (violation,) = error["details"]["violations"]
    assert violation["field"].startswith("job.payload")


def test_scripts_learn_how_full_a_queue_is_and_when_to_come_back(run: Command) -> None:
    assert run("policy", "set", "narrow", "--max-waiting", "1").code == 0
    submit = ("submit", "echo", "--queue", "narrow", "--delay", "1h", "--json")
    first = run(*submit)
    assert first.code == 0, first
    refused = run(*submit)
    assert (refused.code, refused.out) == (3, "")
    error = json.loads(refused.err)["error"]
    assert (error["code"], error["kind"]) == (3, "QUEUE_FULL")
    assert error["details"] == {
        "metadata": {"queue": "narrow", "depth": "1", "limit": "1"},
        "resource": None,
        "retry_after_s": 1.0,
        "status": "RESOURCE_EXHAUSTED",
        "violations": [],
    }
    unknown = json.loads(run("queues", "stats", "nowhere", "--json").err)["error"]["details"]
    assert unknown["resource"] == {"name": "nowhere", "type": "penstock.v1.Queue"}


def test_an_error_without_an_answer_has_no_details() -> None:
    answer = penstock("status", "x", "--json", address=f"127.0.0.1:{free_port()}")
    assert json.loads(answer.err)["error"]["details"] is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["submit", "echo", "--nothing"], "--nothing"),
        (["submit", "echo", "--delay", "soon"], "1h30m"),
        (["sumbit"], "sumbit"),
        (["status"], "JOB_ID"),
    ],
)
def test_scripts_get_wrong_arguments_as_json_too(arguments: list[str], text: str) -> None:
    answer = penstock(*arguments, "--json")
    assert (answer.code, answer.out) == (2, "")
    error = json.loads(answer.err)["error"]
    assert (error["code"], error["kind"]) == (2, "USAGE")
    assert text in error["message"]


@pytest.mark.parametrize("command", [["server"], ["worker", "penstock.cli.playground:app"]])
def test_without_a_redis_address_it_says_how_to_give_one(command: list[str]) -> None:
    answer = penstock(*command)
    assert answer.code == 2, answer
    assert "no Redis address is configured" in answer.err
    assert "PENSTOCK_REDIS_URL" in answer.err
    assert "penstock dev" in answer.err


def test_an_app_that_is_not_there_is_named() -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    for app, text in {
        "nothing:app": "no module nothing",
        "json:app": "no Worker named app",
    }.items():
        answer = penstock("worker", app, PENSTOCK_REDIS_URL=url)
        assert answer.code == 2, answer
        assert text in answer.err


def test_an_app_that_raises_shows_where(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    (tmp_path / "broken.py").write_text("import json\n\njson.nothing\n")
    answer = penstock("worker", "broken:app", PENSTOCK_REDIS_URL=url, PYTHONPATH=str(tmp_path))
    assert answer.code == 2, answer
    assert "broken.py" in answer.err
    assert "broken:app cannot be imported: AttributeError" in answer.err


def test_a_wrong_setting_is_named(run: Command) -> None:
    answer = run("dev", "--log-level", "loud")
    assert answer.code == 2, answer
    assert "PENSTOCK_LOG_LEVEL" in answer.err
