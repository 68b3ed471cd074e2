"""Avatars: a picture that came in becomes files of two sizes, or is refused before it costs."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PIL import Image, ImageOps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "NotAPicture",
    "delete_files",
    "files_of",
    "incoming",
    "make_files",
    "public",
    "versions_of",
]

MAX_PIXELS: Final = 40_000_000
"""More are not decoded: at four bytes each it is 160 MB, for a moment."""

SIZES: Final[Mapping[str, int]] = {"thumbnail": 150, "medium": 600}
_FORMATS: Final = ("JPEG", "PNG")
_SAVED: Final[Mapping[str, Mapping[str, Any]]] = {
    "jpg": {"format": "JPEG", "quality": 85, "progressive": True, "optimize": True},
    "webp": {"format": "WEBP", "quality": 82, "method": 4},
}

Image.MAX_IMAGE_PIXELS = None  # Our own bound is stricter, and no warning.


class NotAPicture(Exception):  # noqa: N818 - says what is wrong with it.
    """It is no JPEG or PNG, is broken, or too large; the text says which."""


def incoming() -> Path:
    """Where uploads wait, as they came. Web and workers share it."""
    return _folder("incoming")


def public() -> Path:
    """Where finished avatars are, for everybody."""
    return _folder("avatars")


def make_files(source: Path, user_id: int, version: int) -> list[str]:
    """Makes a square of each size in the public folder, as progressive JPEG and as WebP.

    What was in the file beside the picture, such as where it was taken, is left out. Made again,
    the files are the same.

    Args:
        source: The picture.
        user_id: Whose.
        version: Of that user's avatar; the files are named after both.

    Returns:
        Their names, such as ``7-3-thumbnail.jpg``.

    Raises:
        NotAPicture: There is nothing to make them of. No file is left behind.
    """
    picture = _open(source)
    for size, side in SIZES.items():
        square = ImageOps.fit(picture, (side, side), Image.Resampling.LANCZOS)
        for suffix, options in _SAVED.items():
            name = f"{user_id}-{version}-{size}.{suffix}"
            half = public() / f".{name}"  # Nobody is shown half a picture.
            square.save(half, **options)
            half.replace(public() / name)
    return files_of(user_id, version)


def files_of(user_id: int, version: int) -> list[str]:
    """Names of the files of an avatar, sorted; none for version 0."""
    return sorted(file.name for file in public().glob(f"{user_id}-{version}-*"))


def delete_files(user_id: int, versions: Iterable[int]) -> None:
    """Deletes versions of a user's avatar that are there. Repeating it does no harm."""
    for version in versions:
        for file in public().glob(f"{user_id}-{version}-*"):
            file.unlink(missing_ok=True)


def versions_of(user_id: int) -> set[int]:
    """The versions of a user's avatar of which there are files."""
    return {int(file.name.split("-")[1]) for file in public().glob(f"{user_id}-*-*")}


def _open(source: Path) -> Image.Image:
    """The picture, upright, without transparency."""
    try:
        with Image.open(source, formats=_FORMATS) as opened:  # Reads no more than the header.
            pixels = opened.width * opened.height
            if pixels > MAX_PIXELS:
                raise NotAPicture(f"{pixels / 1e6:.0f} megapixels: at most {MAX_PIXELS / 1e6:.0f}")
            opened.draft("RGB", (2 * max(SIZES.values()),) * 2)  # JPEG decodes smaller, fast.
            return _opaque(ImageOps.exif_transpose(opened))
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # The disk's fault, not the file's.
        raise NotAPicture(f"no JPEG or PNG, or broken: {error}") from error


def _opaque(picture: Image.Image) -> Image.Image:
    if "A" in picture.getbands() or "transparency" in picture.info:
        with_alpha = picture.convert("RGBA")
        white = Image.new("RGBA", with_alpha.size, "white")
        return Image.alpha_composite(white, with_alpha).convert("RGB")
    return picture.convert("RGB")


def _folder(name: str) -> Path:
    folder = Path(os.environ.get("WATCHPARTY_UPLOADS", "uploads")) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
