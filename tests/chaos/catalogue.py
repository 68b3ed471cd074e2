"""All scenarios, and all faults of the mixed one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.chaos.faults import data, dates, links, processes, storage
from tests.chaos.scenarios.cancelled_streams import CancelledStreams
from tests.chaos.scenarios.clock import Clock
from tests.chaos.scenarios.consumers import Consumers
from tests.chaos.scenarios.crash_points import CrashPoints
from tests.chaos.scenarios.damaged_log import DamagedLog
from tests.chaos.scenarios.disk_full import DiskFull
from tests.chaos.scenarios.drained_worker import DrainedWorker
from tests.chaos.scenarios.floods import Floods
from tests.chaos.scenarios.flushed import Flushed
from tests.chaos.scenarios.full_memory import FullMemory
from tests.chaos.scenarios.gateway_partition import GatewayPartition
from tests.chaos.scenarios.health_watch import HealthWatch
from tests.chaos.scenarios.hogged_worker import HoggedWorker
from tests.chaos.scenarios.lost_structures import LostStructures
from tests.chaos.scenarios.lost_worker import LostWorker
from tests.chaos.scenarios.misrouted_jobs import MisroutedJobs
from tests.chaos.scenarios.mixed import Mixed
from tests.chaos.scenarios.narrow_link import NarrowLink
from tests.chaos.scenarios.poison_jobs import PoisonJobs
from tests.chaos.scenarios.power_cut import PowerCut
from tests.chaos.scenarios.replicated import Replicated
from tests.chaos.scenarios.revived_worker import RevivedWorker
from tests.chaos.scenarios.rolling_restart import RollingRestart
from tests.chaos.scenarios.server_restart import ServerRestart
from tests.chaos.scenarios.slow_fsync import SlowFsync
from tests.chaos.scenarios.slow_link import SlowLink
from tests.chaos.scenarios.stalled_watchers import StalledWatchers
from tests.chaos.scenarios.upgrade import Upgrade
from tests.chaos.scenarios.worker_partition import WorkerPartition

if TYPE_CHECKING:
    from tests.chaos.faults.fault import Fault
    from tests.chaos.scenario import Scenario

__all__ = ["FAULTS", "SCENARIOS"]

FAULTS: Final[tuple[type[Fault], ...]] = (
    processes.WorkerKilled,
    processes.WorkerSuspended,
    processes.WorkerTold,
    processes.WorkersRolled,
    processes.GatewayKilled,
    processes.GatewaySuspended,
    processes.GatewayTold,
    processes.GatewaysRolled,
    processes.ServerKilled,
    processes.ServerSuspended,
    processes.PowerCut,
    processes.ClientKilled,
    storage.SlowFsync,
    storage.LogRewritten,
    links.LinkSlow,
    links.ConnectionsReset,
    links.RepliesLost,
    links.LinkHalfOpen,
    links.LinkThrottled,
    links.WorkersPartitioned,
    links.GatewaysPartitioned,
    links.ServerUnreachable,
    dates.DateAhead,
    dates.DateBack,
    data.ScriptsFlushed,
    data.GroupsDestroyed,
    data.StructureDeleted,
    data.EntriesTaken,
    data.ClientsKilled,
    data.ClientsPaused,
    data.ServerBusy,
    data.ConnectionsLimited,
)

SCENARIOS: Final[tuple[type[Scenario], ...]] = (
    Mixed,
    CrashPoints,
    DrainedWorker,
    HoggedWorker,
    Upgrade,
    LostWorker,
    MisroutedJobs,
    PoisonJobs,
    RevivedWorker,
    RollingRestart,
    ServerRestart,
    PowerCut,
    WorkerPartition,
    GatewayPartition,
    SlowLink,
    NarrowLink,
    DiskFull,
    SlowFsync,
    DamagedLog,
    Clock,
    Replicated,
    StalledWatchers,
    CancelledStreams,
    FullMemory,
    Consumers,
    LostStructures,
    Flushed,
    HealthWatch,
    Floods,
)
