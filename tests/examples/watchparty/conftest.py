"""WatchParty's processes, shared by the tests of the package."""

from __future__ import annotations

import itertools
from contextlib import closing
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Protocol

import httpx
import pytest

from examples.harness.stack import Stack
from examples.watchparty.deployment import ADMINISTRATOR, Deployment
from penstock.client import Client
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

PASSWORD = "correct horse"
_numbers = itertools.count(1)


class Viewer(httpx.Client):
    """A user with a session, and where their mail goes."""

    def __init__(self, url: str, email: str, username: str = "Ann") -> None:
        super().__init__(base_url=url, timeout=30)
        self.email = email
        body = {"email": email, "username": username, "password": PASSWORD}
        registered = self.post("/api/auth/register", json=body)
        assert registered.status_code in {201, 409}, registered.text
        self.mail_job_id = registered.json().get("mail_job_id", "")
        login = self.post("/api/auth/login", json={"email": email, "password": PASSWORD})
        self.user_id: int = login.json()["user_id"]
        self.headers["authorization"] = f"Bearer {login.json()['token']}"


class NewViewer(Protocol):
    """Registers somebody."""

    def __call__(self, name: str = ..., username: str = ...) -> Viewer: ...


class MailTo(Protocol):
    """The newest mail to somebody, once there is one."""

    def __call__(self, email: str, subject: str = ...) -> EmailMessage: ...


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    with Stack("watchparty") as stack:
        yield stack


@pytest.fixture(scope="package")
def deployment(stack: Stack) -> Deployment:
    return Deployment.start(stack, messages=2_000)


@pytest.fixture
def new_viewer(deployment: Deployment) -> Iterator[NewViewer]:
    made: list[Viewer] = []

    def new(name: str = "ann", username: str = "Ann") -> Viewer:
        made.append(Viewer(deployment.url, f"{name}{next(_numbers)}@mail.example", username))
        return made[-1]

    yield new
    for viewer in made:
        viewer.close()


@pytest.fixture
def viewer(new_viewer: NewViewer) -> Viewer:
    """Somebody who is logged in."""
    return new_viewer()


@pytest.fixture
def administrator(deployment: Deployment) -> Iterator[Viewer]:
    with closing(Viewer(deployment.url, ADMINISTRATOR)) as administrator:
        yield administrator


@pytest.fixture
def jobs(stack: Stack) -> Iterator[Client]:
    with Client(stack.address) as client:
        yield client


@pytest.fixture
def mail_to(deployment: Deployment) -> MailTo:
    def newest(email: str, subject: str = "") -> EmailMessage:
        def found() -> EmailMessage | None:
            for file in reversed(deployment.mails):
                mail = message_from_bytes(file.read_bytes(), policy=policy.default)
                if mail["to"] == email and subject in mail["subject"]:
                    return mail
            return None

        mail = wait_until(found, f"a mail to {email} arrives", within_s=20)
        assert mail
        return mail

    return newest
