"""``penstock health``: a probe for containers, which needs neither a shell nor another tool."""

import os
import time
from enum import IntEnum
from typing import Annotated, Final, NamedTuple

import typer

from penstock.cli.connection import check_address
from penstock.cli.durability import durability_text
from penstock.cli.options import DEFAULT_ADDRESS, Address, Json
from penstock.cli.output import emit, for_people, json_wanted

__all__ = ["Health", "Probe", "address_beside", "health", "probe"]

_NOT_FOUND: Final = "NOT_FOUND"
_TOO_LATE: Final = "DEADLINE_EXCEEDED"
_UNIMPLEMENTED: Final = "UNIMPLEMENTED"

_DURABILITY: Final = "penstock-durability"
_REACHED: Final = "penstock-durability-reached"
_REASON: Final = "penstock-reason"

_START: Final = "is the gateway running? start it with: penstock dev, or penstock server"
_CAUSES: Final = {
    "Connection refused": f"connection refused at {{address}}: {_START}",
    "No such file or directory": f"there is no socket at {{address}}: {_START}",
    "address lookup failed": "the host of {address} is not known: is the address right?",
}
"""What is told, by the words of the system that gRPC passes on."""


class Health(IntEnum):
    """What the probe found: its exit codes."""

    SERVING = 0
    NOT_SERVING = 1
    UNREACHABLE = 2


class Probe(NamedTuple):
    """One answer.

    Attributes:
        health: What was found.
        detail: The status in the answer, or the code of the error.
        seconds: How long it took.
        words: gRPC's own, where it failed.
        durability: Name of the level that submits are acknowledged with; None is unknown.
        reached: Of what is written now; None is unknown.
        reason: Why it is not serving, in the gateway's words; None where it does not say.
    """

    health: Health
    detail: str
    seconds: float
    words: str = ""
    durability: str | None = None
    reached: str | None = None
    reason: str | None = None


def health(
    *,
    service: Annotated[
        str,
        typer.Option(
            "--service",
            "-s",
            metavar="NAME",
            help="A service, such as penstock.v1.JobService, or liveness, which is true as long as "
            "the process answers. Not given: readiness as a whole.",
        ),
    ] = "",
    timeout_s: Annotated[
        float,
        typer.Option("--timeout", metavar="SECONDS", min=0.01, help="Unreachable after this long."),
    ] = 3.0,
    address: Address = "",
    json: Json = False,
) -> None:
    """Probe a gateway, for containers.

    Exit code 0 is serving, 1 not serving, 2 unreachable. With no address given, it asks the
    gateway beside it, where PENSTOCK_LISTEN says.

    As a liveness probe (a Dockerfile's HEALTHCHECK, or Kubernetes'): command: ["penstock",
    "health", "--service", "liveness"]. As a readiness probe: ["penstock", "health"].
    """
    address = address or address_beside(os.environ.get("PENSTOCK_LISTEN", ""))
    check_address(address)
    found = probe(address, service, timeout_s)
    if json_wanted():
        emit(
            {
                "address": address,
                "detail": found.detail,
                "durability": found.durability,
                "durability_reached": found.reached,
                "reason": found.reason,
                "seconds": round(found.seconds, 4),
                "service": service,
                "status": found.health.name,
            }
        )
    else:
        _tell(found, address, service, timeout_s)
    raise typer.Exit(int(found.health))


def address_beside(listen: str) -> str:
    """Return where a gateway is found, from the same machine, that listens there.

    Args:
        listen: As PENSTOCK_LISTEN has it; empty for its default.
    """
    host, _, port = listen.rpartition(":")
    if host in {"0.0.0.0", "*"}:  # noqa: S104 - all addresses are what is looked for here.
        return f"127.0.0.1:{port}"
    return f"[::1]:{port}" if host in {"[::]", ""} and port else listen or DEFAULT_ADDRESS


def probe(address: str, service: str, timeout_s: float) -> Probe:
    """Ask a gateway how a service is.

    Args:
        address: Host and port.
        service: Name of the service; empty for all.
        timeout_s: How long to wait for the connection and the answer, in seconds.
    """
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    began = time.perf_counter()
    words = ""
    facts: dict[str, str] = {}
    options = [("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(address, options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer, call = stub.Check.with_call(
                health_pb2.HealthCheckRequest(service=service), timeout=timeout_s
            )
        except grpc.RpcError as error:
            detail, words = error.code().name, error.details() or ""
            answered = detail in (_NOT_FOUND, _UNIMPLEMENTED)
            state = Health.NOT_SERVING if answered else Health.UNREACHABLE
        else:
            detail = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
            serving = answer.status == health_pb2.HealthCheckResponse.SERVING
            state = Health.SERVING if serving else Health.NOT_SERVING
            facts = dict(call.trailing_metadata() or ())
    took_s = time.perf_counter() - began
    told = (facts.get(key) for key in (_DURABILITY, _REACHED, _REASON))
    return Probe(state, detail, took_s, words, *told)


def _tell(found: Probe, address: str, service: str, timeout_s: float) -> None:
    what = f"{service} at {address}" if service else address
    if found.detail == _NOT_FOUND:
        text = f"{address} knows no service {service}"
    elif found.health is Health.SERVING:
        text = f"{what} is serving ({found.seconds * 1000:.0f} ms)"
    elif found.health is Health.NOT_SERVING:
        text = f"{what} is not serving ({found.detail})"
        if found.reason is not None:
            text += f": {found.reason}"
    else:
        text = _unreachable(found, address, timeout_s)
    if found.durability is not None:
        text += f"; durability {durability_text(found.durability, found.reached)}"
    for_people().print(text, soft_wrap=True, markup=False)


def _unreachable(found: Probe, address: str, timeout_s: float) -> str:
    for words, text in _CAUSES.items():
        if words in found.words:
            return text.format(address=address)
    if found.detail == _TOO_LATE:
        return f"{address} did not answer within {timeout_s:g} s: is the address right?"
    return f"{address} cannot be reached ({found.detail}): {_START}"
