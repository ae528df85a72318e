"""Profiles: which plugins place the pods of one scheduler name, with which weights and arguments.

To add a plugin: write its file in `plugins/`, name it here, and in `settings.DEFAULT_PLUGINS` if it runs by default.
Plugins from elsewhere come as entry points of the group `tiphys.scheduler.plugins` (`thirdparty.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tiphys.scheduler.config import args as a
from tiphys.scheduler.plugin import PluginSpec
from tiphys.scheduler.plugins import (
    dynamic_resources,
    image_locality,
    inter_pod_affinity,
    node_affinity,
    node_declared_features,
    node_name,
    node_ports,
    node_resources_balanced,
    node_resources_fit,
    node_unschedulable,
    node_volume_limits,
    pod_topology_spread,
    scheduling_gates,
    taint_toleration,
    volume_binding,
    volume_restrictions,
    volume_zone,
)
from tiphys.scheduler.settings import DEFAULT_NAME, PluginChoice, ProfileSettings

Build = Callable[[Any], PluginSpec]
PREEMPTION = "DefaultPreemption"

BUILT_IN: Mapping[str, PluginSpec] = {
    spec.name: spec
    for spec in (
        scheduling_gates.SPEC,
        node_unschedulable.SPEC,
        node_name.SPEC,
        taint_toleration.SPEC,
        node_ports.SPEC,
        image_locality.SPEC,
        volume_restrictions.SPEC,
        node_volume_limits.SPEC,
        volume_zone.SPEC,
        node_declared_features.SPEC,
    )
}
"""Plugins without arguments."""

CONFIGURED: Mapping[str, tuple[type[a.Args], Build]] = {
    "NodeAffinity": (a.NodeAffinityArgs, node_affinity.build),
    "NodeResourcesFit": (a.NodeResourcesFitArgs, node_resources_fit.build),
    "NodeResourcesBalancedAllocation": (a.NodeResourcesBalancedAllocationArgs, node_resources_balanced.build),
    "PodTopologySpread": (a.PodTopologySpreadArgs, pod_topology_spread.build),
    "InterPodAffinity": (a.InterPodAffinityArgs, inter_pod_affinity.build),
    "DynamicResources": (a.DynamicResourcesArgs, lambda _args: dynamic_resources.SPEC),
    "VolumeBinding": (a.VolumeBindingArgs, lambda _args: volume_binding.SPEC),
}
"""Plugins with arguments, and what makes them."""

ELSEWHERE = frozenset(("PrioritySort", "DefaultBinder", PREEMPTION))
"""Names of what the queue, the component and `preemption.py` do; a profile can name them like plugins."""


@dataclass(frozen=True)
class Profile:
    name: str
    plugins: tuple[PluginSpec, ...]
    preemption: a.DefaultPreemptionArgs | None
    """None: pods never make others leave."""


def build(settings: ProfileSettings, others: Mapping[str, Build] | None = None) -> Profile:
    """The profile, from settings that were checked. `others` are plugins from elsewhere by name."""
    specs: list[PluginSpec] = []
    preemption = None
    for choice in settings.plugins:
        given = settings.args.get(choice.name)
        if choice.name == PREEMPTION:
            preemption = given or a.DefaultPreemptionArgs()
        elif choice.name not in ELSEWHERE:
            specs.append(_weighted(_plugin(choice.name, given, others or {}), choice))
    return Profile(settings.name, checked(specs), preemption)


def _plugin(name: str, given: Any, others: Mapping[str, Build]) -> PluginSpec:
    if name in BUILT_IN:
        return BUILT_IN[name]
    if name in CONFIGURED:
        args, make = CONFIGURED[name]
        return make(args() if given is None else given)
    if name in others:
        return others[name](given)
    raise ValueError(f"plugin {name} does not exist")


def _weighted(spec: PluginSpec, choice: PluginChoice) -> PluginSpec:
    """`spec` with what the profile wants of it."""
    scores = spec.score is not None or spec.score_among is not None
    if scores and not choice.scores:
        spec = replace(spec, score=None, score_row=None, score_among=None, weight=0)
    elif scores and choice.weight and choice.weight != spec.weight:
        spec = replace(spec, weight=choice.weight)
    if not choice.filters:
        spec = replace(spec, refuse=None, filter=None, filter_row=None, filter_among=None, narrow=None)
    return spec


def checked(plugins: Sequence[PluginSpec]) -> tuple[PluginSpec, ...]:
    """The plugins, with unique names. Raises ValueError naming a duplicate."""
    names = [plugin.name for plugin in plugins]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"plugin {name} is listed twice")
    return tuple(plugins)


DEFAULT = build(ProfileSettings(DEFAULT_NAME))
