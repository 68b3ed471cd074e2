"""A gateway behind TLS, with a certificate that only its clients know."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import grpc
import pytest

from penstock.client import Unavailable
from tests.client.scripted import ScriptedGateway
from tests.client.test_retries import FOUND, status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client.conftest import Connect


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[bytes, bytes]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl not found: apt install openssl")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=penstock", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    subprocess.run([*command, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return certificate.read_bytes(), key.read_bytes()


async def test_credentials_of_ones_own(connect: Connect, certificate: tuple[bytes, bytes]) -> None:
    chain, key = certificate
    secure = grpc.ssl_server_credentials([(key, chain)])
    async with ScriptedGateway(credentials=secure) as gateway:
        gateway.on("GetStatus", FOUND)
        trusting = grpc.ssl_channel_credentials(root_certificates=chain)
        async with connect(gateway.address, secure=trusting) as client:
            assert (await client(status)).job_id == "job"
        async with connect(gateway.address, secure=True, timeout=2) as client:
            with pytest.raises(Unavailable):
                await client(status)
