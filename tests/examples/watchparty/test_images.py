"""Avatars: real pictures in, files of two sizes out, and nothing of what is broken or huge."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageDraw

from examples.watchparty.jobs import IMAGES, PROCESS_AVATAR, Avatar
from penstock.client import Client, FailureReason, Job
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from examples.watchparty.deployment import Deployment
    from tests.examples.watchparty.conftest import Viewer

ORIENTATION = 0x0112
GPS = 0x8825


def picture(size: tuple[int, int] = (900, 700), mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right."""
    made = Image.new(mode, size, "blue")
    ImageDraw.Draw(made).rectangle((0, 0, size[0] // 2, size[1]), fill="red")
    return made


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:  # noqa: ANN401 - Pillow's.
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def upload(viewer: Viewer, jobs: Client, data: bytes) -> Job:
    files = {"profilePicture": ("me.jpg", data)}
    taken = viewer.post("/api/auth/upload-profile-picture", files=files)
    assert taken.status_code == 202, taken.text
    return jobs.wait(taken.json()["job_id"], timeout=30)


def shown(viewer: Viewer, name: str) -> Image.Image:
    return Image.open(io.BytesIO(viewer.get(f"/avatars/{name}").raise_for_status().content))


def test_a_photograph_becomes_two_sizes_in_two_formats(viewer: Viewer, jobs: Client) -> None:
    job = upload(viewer, jobs, saved(picture()))
    assert job.state == "SUCCEEDED", job.failure
    assert viewer.get("/api/auth/profile").json()["data"]["avatar"] == 1
    stem = f"{viewer.user_id}-1"
    for size, side in (("thumbnail", 150), ("medium", 600)):
        jpeg, webp = shown(viewer, f"{stem}-{size}.jpg"), shown(viewer, f"{stem}-{size}.webp")
        assert (jpeg.format, jpeg.size) == ("JPEG", (side, side))
        assert jpeg.info["progressive"]
        assert (webp.format, webp.size) == ("WEBP", (side, side))


def test_it_is_turned_upright_and_tells_nothing_else(viewer: Viewer, jobs: Client) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 8  # The camera was held so that the right side came up.
    exif.get_ifd(GPS)[1] = "N"
    upload(viewer, jobs, saved(picture(), exif=exif))
    medium = shown(viewer, f"{viewer.user_id}-1-medium.jpg")
    assert not medium.getexif()
    top, bottom = (medium.convert("RGB").getpixel((300, y)) for y in (20, 580))
    assert isinstance(top, tuple)
    assert isinstance(bottom, tuple)
    assert top[2] > 200 > top[0], "what was right is at the top"
    assert bottom[0] > 200 > bottom[2]


def test_what_is_transparent_becomes_white(viewer: Viewer, jobs: Client) -> None:
    job = upload(viewer, jobs, saved(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "PNG"))
    assert job.state == "SUCCEEDED", job.failure
    medium = shown(viewer, f"{viewer.user_id}-1-medium.jpg")
    assert medium.getpixel((300, 300)) == (255, 255, 255)


def test_the_old_avatar_is_deleted(viewer: Viewer, jobs: Client, deployment: Deployment) -> None:
    upload(viewer, jobs, saved(picture()))
    assert viewer.get("/api/auth/profile").json()["data"]["avatar"] == 1
    assert upload(viewer, jobs, saved(picture((300, 300)))).result["replaced"] == 1
    mine = {name for name in deployment.avatars if name.startswith(f"{viewer.user_id}-")}
    assert len(mine) == 4
    assert all(name.startswith(f"{viewer.user_id}-2-") for name in mine)
    assert viewer.get("/api/auth/profile").json()["data"]["avatar"] == 2, "and not from the cache"


def test_of_two_at_once_the_later_stays(
    viewer: Viewer, jobs: Client, deployment: Deployment
) -> None:
    files = {"profilePicture": ("me.jpg", saved(picture()))}
    ids = [
        viewer.post("/api/auth/upload-profile-picture", files=files).json()["job_id"]
        for _ in range(4)
    ]
    states = [jobs.wait(job_id, timeout=30).state for job_id in ids]
    assert states[-1] == "SUCCEEDED"
    assert set(states) <= {"SUCCEEDED", "CANCELLED"}
    mine = {name for name in deployment.avatars if name.startswith(f"{viewer.user_id}-")}
    assert {name.split("-")[1] for name in mine} == {"4"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"GIF89a, or so it says", "no JPEG or PNG", id="no-picture"),
        pytest.param(saved(picture())[:2000], "broken", id="truncated"),
        pytest.param(saved(picture(), "GIF"), "no JPEG or PNG", id="another-format"),
        pytest.param(
            saved(Image.new("1", (9000, 9000)), "PNG"), "81 megapixels", id="a-bomb-of-pixels"
        ),
        pytest.param(b"", "no JPEG or PNG", id="nothing"),
    ],
)
def test_what_is_broken_or_huge_fails_cleanly(
    viewer: Viewer, jobs: Client, deployment: Deployment, data: bytes, said: str
) -> None:
    job = upload(viewer, jobs, data)
    assert (job.state, job.attempt) == ("FAILED", 1)
    assert job.failure
    assert job.failure.reason is FailureReason.NON_RETRYABLE
    assert said in job.failure.message
    assert not any(name.startswith(f"{viewer.user_id}-") for name in deployment.avatars)
    wait_until(lambda: not deployment.uploads, "nothing of it is kept")


def test_what_was_refused_by_an_attempt_that_died_is_refused_again(
    viewer: Viewer, jobs: Client
) -> None:
    avatar = Avatar(user_id=viewer.user_id, upload="0" * 32, version=1)
    job = jobs.submit(PROCESS_AVATAR, avatar, queue=IMAGES).wait(timeout=30)
    assert (job.state, job.attempt) == ("FAILED", 1)
    assert job.failure
    assert job.failure.reason is FailureReason.NON_RETRYABLE


def test_too_many_bytes_are_refused_at_the_door(viewer: Viewer) -> None:
    files = {"profilePicture": ("me.jpg", bytes(11 * 1024 * 1024))}
    assert viewer.post("/api/auth/upload-profile-picture", files=files).status_code == 413


def test_a_form_without_a_picture_is_refused(viewer: Viewer) -> None:
    address = "/api/auth/upload-profile-picture"
    assert viewer.post(address, files={"other": b"x"}).status_code == 422
    assert viewer.post(address, data={"profilePicture": "x"}).status_code == 422
    assert (
        viewer.post(
            address, files={"profilePicture": b"x"}, headers={"authorization": ""}
        ).status_code
        == 401
    )
