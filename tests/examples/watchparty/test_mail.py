"""Mail, over a real SMTP server: what is sent, in which order, and what becomes of trouble."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from examples.watchparty.jobs import EMAIL
from penstock.client import FailureReason
from tests.examples.watchparty.conftest import PASSWORD, Viewer

if TYPE_CHECKING:
    from email.message import EmailMessage

    from penstock.client import Client
    from tests.examples.watchparty.conftest import MailTo, NewViewer


def html_of(mail: EmailMessage) -> str:
    part = mail.get_body(("html",))
    assert part
    return str(part.get_content())


def test_a_new_user_is_greeted(viewer: Viewer, mail_to: MailTo) -> None:
    mail = mail_to(viewer.email)
    assert mail["subject"] == "Welcome to WatchParty"
    assert "Welcome, Ann!" in html_of(mail)
    text = mail.get_body(("plain",))
    assert text
    assert "Welcome, Ann!" in text.get_content()


def test_names_are_escaped_in_html_and_cannot_add_headers(
    new_viewer: NewViewer, mail_to: MailTo
) -> None:
    name = "<script>x</script>\r\nBcc: all@mail.example"
    host = new_viewer(username=name)
    assert "&lt;script&gt;" in html_of(mail_to(host.email))
    assert "<script>" not in html_of(mail_to(host.email))
    room = host.post("/api/rooms", json={"name": "Nook", "movie_id": 1}).json()["room_id"]
    asked = host.post(f"/api/rooms/{room}/invitations", json={"email": "friend@mail.example"})
    assert asked.status_code == 202
    mail = mail_to("friend@mail.example")
    assert mail["bcc"] is None
    assert mail["subject"] == "<script>x</script> Bcc: all@mail.example invites you to Nook"


def test_a_lost_password_is_replaced_once(viewer: Viewer, mail_to: MailTo) -> None:
    asked = viewer.post("/api/auth/forgot-password", json={"email": viewer.email})
    assert asked.status_code == 202
    found = re.search(r"token=([\w.=-]+)", html_of(mail_to(viewer.email, "password")))
    assert found
    wanted = {"token": found[1], "password": "battery staple"}
    assert viewer.post("/api/auth/reset-password", json=wanted).status_code == 200
    assert viewer.post("/api/auth/reset-password", json=wanted).status_code == 400
    login = {"email": viewer.email, "password": PASSWORD}
    assert viewer.post("/api/auth/login", json=login).status_code == 401
    login["password"] = "battery staple"
    assert viewer.post("/api/auth/login", json=login).status_code == 200


def test_who_has_an_account_is_not_told(viewer: Viewer) -> None:
    answers = [
        viewer.post("/api/auth/forgot-password", json={"email": email})
        for email in (viewer.email, "stranger@mail.example")
    ]
    assert answers[0].json() == answers[1].json()


def test_a_lost_password_goes_first(viewer: Viewer, jobs: Client, new_viewer: NewViewer) -> None:
    jobs.wait(viewer.mail_job_id, timeout=20)
    jobs.pause_queue(EMAIL)
    try:
        greetings = [new_viewer().mail_job_id for _ in range(3)]
        viewer.post("/api/auth/forgot-password", json={"email": viewer.email})
        waiting = list(jobs.list(EMAIL, states=["QUEUED"]))
        # The list is in the order in which they will run.
        assert [job.type for job in waiting] == ["mail.password_reset", *3 * ["mail.welcome"]]
    finally:
        jobs.resume_queue(EMAIL)
    for job_id in greetings:
        assert jobs.wait(job_id, timeout=20).state == "SUCCEEDED"


def test_a_server_that_is_busy_is_tried_again(new_viewer: NewViewer, jobs: Client) -> None:
    job = jobs.wait(new_viewer("busy").mail_job_id, timeout=30)
    assert (job.state, job.attempt) == ("SUCCEEDED", 3)


def test_an_address_that_is_refused_is_not_tried_again(viewer: Viewer, jobs: Client) -> None:
    asked = viewer.post("/api/rooms/1/invitations", json={"email": "nobody@mail.example"})
    job = jobs.wait(asked.json()["mail_job_id"], timeout=20)
    assert (job.state, job.attempt) == ("FAILED", 1)
    assert job.failure
    assert job.failure.reason is FailureReason.NON_RETRYABLE
    assert "550" in job.failure.message


def test_no_job_holds_a_token_or_an_address_that_can_be_looked_up(
    viewer: Viewer, jobs: Client
) -> None:
    viewer.post("/api/auth/forgot-password", json={"email": viewer.email})
    for found in jobs.list(EMAIL, type="mail.password_reset"):
        assert jobs.status(found.job_id, include_payload=True).payload.keys() == {"user_id"}


@pytest.mark.parametrize(
    "change",
    [{"email": "no address"}, {"email": "a@b.c\nx"}, {"password": "short"}, {"username": ""}],
)
def test_bad_registrations_are_refused(viewer: Viewer, change: dict[str, str]) -> None:
    body = {"email": "new@mail.example", "username": "New", "password": PASSWORD, **change}
    assert viewer.post("/api/auth/register", json=body).status_code == 422


def test_an_address_registers_once(viewer: Viewer) -> None:
    body = {"email": viewer.email.upper(), "username": "Twin", "password": PASSWORD}
    assert viewer.post("/api/auth/register", json=body).status_code == 409
