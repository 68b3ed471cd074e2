"""The scenarios, in the order in which they are run."""

from bench.scenarios import batch, drain, fanout, latency, memory, submit

ALL = {
    module.__name__.rpartition(".")[2]: module.measure
    for module in (submit, batch, drain, latency, fanout, memory)
}

__all__ = ["ALL"]
