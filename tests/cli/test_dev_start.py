"""``penstock dev`` that cannot start says why in a line; what it suggests works."""

from __future__ import annotations

import shlex
import socket
from typing import TYPE_CHECKING

from pydantic import BaseModel

from penstock.cli.playground import app as playground
from penstock.cli.suggestion import first_submit
from penstock.worker import Worker
from tests.cli.running import Dev, penstock

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Command


class Report(BaseModel):
    """A payload without defaults."""

    month: int
    title: str


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listen = ("--listen", f"127.0.0.1:{port}")
        answer = penstock("dev", *listen, "--data-dir", str(tmp_path / "data"))
    assert answer.code == 2, answer
    assert f"port {port} on 127.0.0.1 is taken" in answer.err
    assert "--listen HOST:PORT" in answer.err
    assert answer.out == ""
    assert not (tmp_path / "data").exists()


def test_a_wrong_app_is_found_before_anything_is_started(tmp_path: Path) -> None:
    answer = penstock("dev", "nothing:app", "--data-dir", str(tmp_path / "data"))
    assert answer.code == 2, answer
    assert "no module nothing" in answer.err
    assert not (tmp_path / "data").exists()


def test_a_second_one_on_the_same_folder_is_told_of_the_first(dev: Dev) -> None:
    answer = penstock("dev", "--listen", "127.0.0.1:0", "--data-dir", str(dev.data_dir))
    assert answer.code == 2, answer
    assert f"the penstock dev with pid {dev.process.pid}" in answer.err
    assert "--data-dir FOLDER" in answer.err
    assert "stopped" not in answer.err  # Nothing was started.


def test_a_second_one_in_all_respects_is_told_of_the_first_and_not_of_the_port(dev: Dev) -> None:
    answer = penstock("dev", "--listen", dev.address, "--data-dir", str(dev.data_dir))
    assert answer.code == 2, answer
    assert f"the penstock dev with pid {dev.process.pid}" in answer.err
    assert "is taken" not in answer.err


def test_a_taken_port_is_told_where_the_folder_is_free(tmp_path: Path) -> None:
    with Dev(tmp_path) as ended:
        ended.stop()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = penstock("dev", "--listen", listen, "--data-dir", str(ended.data_dir))
    assert answer.code == 2, answer
    assert "is taken" in answer.err


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "data"
    answer = penstock("dev", "--listen", "127.0.0.1:0", "--data-dir", str(folder))
    assert answer.code == 2, answer
    assert f"jobs cannot be kept in {folder}" in answer.err.replace("\n", "")


def test_what_it_suggests_works(run: Command) -> None:
    words = shlex.split(first_submit(playground, ()))
    assert run(*words[1:]).code == 0


def test_it_suggests_a_queue_that_is_served_and_a_payload_that_is_taken() -> None:
    app = Worker(["reports", "mail"])

    @app.job("report")
    async def report(payload: Report) -> None:
        """Nothing."""

    expected = (
        """penstock submit report -q reports --payload '{"month": 1, "title": "text"}' --watch"""
    )
    assert first_submit(app, ()) == expected
    assert " -q mail " in first_submit(app, ("mail",))
    assert " -q " not in first_submit(app, ("mail", "default"))


def test_a_failed_attempt_shows_its_traceback(dev: Dev, run: Command) -> None:
    job_id = run("submit", "flaky", "-p", '{"failures": 1}', "--backoff", "1ms").id
    assert run("watch", job_id).code == 0
    log = dev.log.read_text()
    assert "Traceback (most recent call last)" in log
    assert "playground.py" in log
