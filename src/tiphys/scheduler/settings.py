"""What can be set about the scheduler. Imports nothing heavy: it is read before the scheduler starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_NAME = "default-scheduler"

DEFAULT_PLUGINS: Mapping[str, int] = {
    "SchedulingGates": 0,
    "PrioritySort": 0,
    "NodeUnschedulable": 0,
    "NodeName": 0,
    "TaintToleration": 3,
    "NodeAffinity": 2,
    "NodePorts": 0,
    "NodeResourcesFit": 1,
    "VolumeRestrictions": 0,
    "NodeVolumeLimits": 0,
    "VolumeBinding": 0,
    "VolumeZone": 0,
    "PodTopologySpread": 2,
    "InterPodAffinity": 2,
    "NodeDeclaredFeatures": 0,
    "DynamicResources": 0,
    "DefaultPreemption": 0,
    "NodeResourcesBalancedAllocation": 1,
    "ImageLocality": 1,
    "DefaultBinder": 0,
}
"""The plugins that run unless a profile says otherwise, in the order in which filters are asked, with their weights
(0: no score). Source: pkg/scheduler/apis/config/v1/default_plugins.go; GangScheduling is upstream's alpha, which costs
nothing where no pod names a group."""


@dataclass(frozen=True)
class PluginChoice:
    """One plugin of a profile."""

    name: str
    weight: int = 0
    filters: bool = True
    scores: bool = True


@dataclass(frozen=True)
class ProfileSettings:
    """How the pods of one scheduler name are placed."""

    name: str = DEFAULT_NAME
    """Pods with this `spec.schedulerName`; also who events come from."""
    plugins: tuple[PluginChoice, ...] = tuple(PluginChoice(name, weight) for name, weight in DEFAULT_PLUGINS.items())
    args: Mapping[str, Any] = field(default_factory=dict)
    """By plugin: its `config.args` struct."""


@dataclass(frozen=True)
class ExtenderTLS:
    """How to trust an HTTPS extender, and how it trusts us. Data is PEM."""

    insecure: bool = False
    server_name: str = ""
    ca_file: str = ""
    ca_data: bytes = b""
    cert_file: str = ""
    cert_data: bytes = b""
    key_file: str = ""
    key_data: bytes = b""


@dataclass(frozen=True)
class ExtenderSettings:
    """A program that is asked over HTTP. A verb that is empty is not asked for."""

    url_prefix: str
    filter_verb: str = ""
    preempt_verb: str = ""
    prioritize_verb: str = ""
    weight: int = 1
    bind_verb: str = ""
    timeout_s: float = 5.0
    node_cache_capable: bool = False
    """It knows the nodes: names are enough for it."""
    managed_resources: tuple[tuple[str, bool], ...] = ()
    """(resource, ignored by the scheduler itself); only pods that request one are its business. Empty: all pods."""
    ignorable: bool = False
    """Pods are placed without it when it does not answer."""
    tls: ExtenderTLS | None = None


@dataclass(frozen=True)
class SchedulerSettings:
    profiles: tuple[ProfileSettings, ...] = (ProfileSettings(),)
    extenders: tuple[ExtenderSettings, ...] = ()
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
    plugin_timeout_s: float = 1.0
    """How long a plugin of someone else may take for one call, in seconds."""
