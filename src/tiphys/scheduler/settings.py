"""What can be set about the scheduler. Imports nothing heavy: it is read before the scheduler starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SchedulerSettings:
    scheduler_name: str = "default-scheduler"
    """Pods with this `spec.schedulerName` are ours; also the component that events come from."""
    backoff_first_s: float = 1.0
    """How long a pod rests after its first failure, in seconds; doubles with each (podInitialBackoffSeconds)."""
    backoff_cap_s: float = 10.0
    """The longest rest, in seconds. Upstream: podMaxBackoffSeconds."""
    waiting_max_s: float = 300.0
    """A pod that nothing woke for so long is tried again anyway: a missed event costs minutes, not forever."""
    queue_max: int = 500_000
    """Pods that may wait at once. Beyond it pods stay out until there is room, and are then found again."""
    calls_in_flight_max: int = 256
    """Bindings and status patches under way at once. Many, so that the store can commit them together."""
    turn_s: float = 0.004
    """How long one turn of decisions may hold the loop, in seconds."""
