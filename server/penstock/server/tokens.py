"""Page tokens: opaque to clients, and good only for the listing that gave them."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Final

from penstock.broker import InvalidArgument

__all__ = ["open_token", "seal_token"]

_DIGEST_BYTES: Final = 6


def seal_token(position: str, *listing: str) -> str:
    """A token for a position of the broker ('' stays '', the end) within a listing.

    Args:
        position: as the broker gave it.
        listing: what the pages are of: a change of any part makes the token foreign.
    """
    if not position:
        return ""
    sealed = _digest(listing) + position.encode()
    return urlsafe_b64encode(sealed).rstrip(b"=").decode()


def open_token(token: str, *listing: str) -> str:
    """The position in a token that `seal_token` made for the same listing.

    Raises:
        InvalidArgument: it is not one.
    """
    if not token:
        return ""
    try:
        sealed = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        if sealed.startswith(_digest(listing)):
            return sealed[_DIGEST_BYTES:].decode("ascii")
    except ValueError:  # Neither ASCII nor base64.
        pass
    raise InvalidArgument([("page_token", "it is not a token that this listing gave")])


def _digest(listing: tuple[str, ...]) -> bytes:
    return blake2b("\0".join(listing).encode(), digest_size=_DIGEST_BYTES).digest()
