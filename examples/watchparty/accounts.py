"""Passwords, and the tokens that stand for a user. Nothing of either is ever in a job."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "RESET_S",
    "SESSION_S",
    "hash_password",
    "is_password",
    "read_token",
    "secret",
    "token_of",
]

SESSION_S: Final = 24 * 3600
RESET_S: Final = 3600

_SHORTEST_SECRET: Final = 32


def secret() -> bytes:
    """What signs the tokens.

    Raises:
        RuntimeError: There is none.
    """
    found = os.environ.get("WATCHPARTY_SECRET", "")
    if len(found) < _SHORTEST_SECRET:
        raise RuntimeError(
            "set WATCHPARTY_SECRET, for web and workers alike, to 32 or more random characters"
        )
    return found.encode()


def hash_password(password: str, salt: bytes | None = None) -> str:
    """What is stored of a password: ``salt$hash``, by scrypt at 16 MiB."""
    salt = salt or secrets.token_bytes(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)
    return f"{salt.hex()}${digest.hex()}"


def is_password(password: str, stored: str) -> bool:
    """Whether it is the one that was stored."""
    salt, _, _ = stored.partition("$")
    return hmac.compare_digest(hash_password(password, bytes.fromhex(salt)), stored)


def token_of(user_id: int, purpose: str, lifetime_s: float, bound_to: str = "") -> str:
    """A signed token.

    Args:
        user_id: Whom it stands for.
        purpose: What alone it is good for.
        lifetime_s: How long, in seconds.
        bound_to: Something that has to be the same when it is read, such as the stored password:
            then it is good for changing that once.
    """
    body = base64.urlsafe_b64encode(
        json.dumps([user_id, purpose, int(time.time() + lifetime_s)]).encode()
    ).decode()
    return f"{body}.{_signature(body, bound_to)}"


def read_token(
    token: str, purpose: str, bound_to: Callable[[int], str] = lambda _: ""
) -> int | None:
    """Whom a token stands for; None if it is none, is for something else, or is too old."""
    body, _, signature = token.partition(".")
    try:
        user_id, made_for, until = json.loads(base64.urlsafe_b64decode(body))
    except ValueError:
        return None
    if not hmac.compare_digest(_signature(body, bound_to(user_id)), signature):
        return None
    return user_id if made_for == purpose and time.time() < until else None


def _signature(body: str, bound_to: str) -> str:
    return hmac.new(secret(), f"{body} {bound_to}".encode(), hashlib.sha256).hexdigest()
