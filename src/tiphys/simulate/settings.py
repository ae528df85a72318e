"""What can be set about simulated nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tiphys.simulate.lifecycle import DEFAULT_STAGES, Stage


@dataclass(frozen=True)
class SimulationSettings:
    nodes: int = 1
    """How many nodes."""
    name_prefix: str = "sim"
    """Nodes are called `<prefix>-0`, `<prefix>-1`, ... padded to equal length."""
    capacity: Mapping[str, str] = field(
        default_factory=lambda: {"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110"}
    )
    """Capacity and allocatable of every node, as quantities."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Added to every node."""
    zones: Sequence[str] = ()
    """Nodes are dealt to these zones in turn; empty: no zone label."""
    stages: Sequence[Stage] = DEFAULT_STAGES
    """What becomes of pods."""
    seed: int = 0
    """Of the chance and jitter of stages."""
    lease_duration_s: int = 40
    """As kubelets say in their leases."""
    lease_renew_s: float = 10.0
    """How often a node renews, in seconds, while that makes no more than `leases_per_s_max`."""
    lease_renew_cap_s: float = 25.0
    """The longest a node may go without renewing, in seconds: node lifecycle gives up after 40 or 50."""
    leases_per_s_max: float = 50.0
    """Renewals per second of all nodes together: beyond it each renews less often, up to the cap."""
    lease_grain_s: float = 0.5
    """Renewals that are due within the same so many seconds are made together."""
    calls_in_flight_max: int = 64
    """API calls under way at once."""
    retry_s: float = 1.0
    """How long to wait after a failed call, in seconds."""
    node_addresses: str = "10.192.0.0/13"
    """Where nodes' addresses come from. They lead nowhere."""
    pod_addresses: str = "10.200.0.0/13"
    """Where pods' addresses come from. They lead nowhere."""
    kubelet_version: str = "v1.36.2"

    @property
    def renewals_in_flight_max(self) -> int:
        """Renewals under way at once: kubelets do not wait for each other, so an answer may take seconds."""
        return max(self.calls_in_flight_max, self.nodes // 5)

    def __post_init__(self) -> None:
        if self.nodes < 0 or self.calls_in_flight_max < 1:
            raise ValueError("simulated nodes: nodes must not be negative, calls_in_flight_max at least 1")

    @property
    def lease_interval_s(self) -> float:
        return max(self.lease_renew_s, min(self.nodes / self.leases_per_s_max, self.lease_renew_cap_s))
