"""The default profile: which plugins run, in the order in which filters are asked.

A node's first refusal is the one reported. To add a plugin: write its file in `plugins/` and name it here.
Source: pkg/scheduler/apis/config/v1/default_plugins.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.scheduler.plugin import PluginSpec
from tiphys.scheduler.plugins import (
    node_affinity,
    node_name,
    node_ports,
    node_resources_balanced,
    node_resources_fit,
    node_unschedulable,
    pod_topology_spread,
    scheduling_gates,
    taint_toleration,
)

DEFAULT: tuple[PluginSpec, ...] = (
    scheduling_gates.SPEC,
    node_unschedulable.SPEC,
    node_name.SPEC,
    taint_toleration.SPEC,
    node_affinity.SPEC,
    node_ports.SPEC,
    node_resources_fit.SPEC,
    pod_topology_spread.SPEC,
    node_resources_balanced.SPEC,
)


def checked(plugins: Sequence[PluginSpec]) -> tuple[PluginSpec, ...]:
    """The plugins, with unique names. Raises ValueError naming a duplicate."""
    names = [plugin.name for plugin in plugins]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"plugin {name} is listed twice")
    return tuple(plugins)
