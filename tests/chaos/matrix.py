"""The fault matrix: what may go wrong, by number, and what is not tried here, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NOT_TRIED", "ROWS"]

ROWS: Final[Mapping[int, str]] = {
    1: "a worker is killed (kill -9) while it runs jobs",
    2: "a process is killed before, or right after, each of its requests to the server",
    3: "a worker is suspended for longer than its lease, and revived",
    4: "a handler keeps a worker's event loop busy for longer than its lease",
    5: "a job kills its worker, again and again",
    6: "a worker is told to end (SIGTERM) while it runs jobs, within its grace and beyond",
    7: "a gateway is killed during a submit",
    8: "a gateway is killed or suspended under its watchers",
    9: "the server does what it was asked, and its reply is lost",
    10: "the way to the server takes 50 to 2,000 ms, and varies",
    11: "a connection is dead and nobody is told",
    12: "the way to the server is narrow",
    13: "a worker is cut off from the server for longer than its lease",
    14: "a gateway is cut off from the server",
    15: "the server is killed and restarted",
    16: "the server loses its power: only what was synced is left",
    17: "the server's append-only file is cut, or damaged",
    18: "the server's disk is full",
    19: "the server's disk is slow",
    20: "the server's memory is full",
    21: "the server's scripts are flushed",
    22: "streams, groups, or all data are deleted",
    23: "somebody else acknowledges, deletes or trims entries of the streams",
    24: "connections are killed, and clients paused, by command",
    25: "a failover by Sentinel",
    26: "a failover, or slots that move, in a cluster",
    27: "clocks jump, of the server, of workers and of gateways",
    28: "thousands of workers come and go",
    29: "watchers do not read",
    30: "those who watch the health service do not read",
    31: "callers go away at random moments",
    32: "floods of connections, streams and resets; too large and malformed messages",
    33: "a gateway is told to end (SIGTERM) under load",
    34: "foreign job ids, hostile names, certificates that change",
    35: "old and new versions side by side",
    36: "jobs that no worker has a handler for, or can read",
}

#: Rows that no run covers, or covers in part.
NOT_TRIED: Final[Mapping[int, str]] = {
    25: "Sentinel itself is not run. What a failover means for the data is: the primary is lost, a "
    "replica is promoted, and gateways find it behind a stable address (`replicated`).",
    26: "A cluster of several nodes is not supported yet. The broker's tests run on one node in "
    "cluster mode, which refuses a script that touches another slot.",
    34: "Hostile names, ids, cursors and messages are tried by the fuzzing of every method (`make "
    "fuzz`) and by tests/server/test_bad_input.py; TLS by tests/client/test_tls.py. Identities and "
    "tenants are not there yet, and certificates are not changed while a gateway runs.",
    35: "There is no release yet: the old side is one earlier version, and no other fault strikes "
    "while both run.",
}
