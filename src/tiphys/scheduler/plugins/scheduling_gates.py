"""SchedulingGates: a pod with gates is not tried until the last one is removed.

It never reaches the filters: the queue holds it back (`gated`). An update of the pod itself brings it in.
Source: pkg/scheduler/framework/plugins/schedulinggates/scheduling_gates.go.
"""

from __future__ import annotations

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.scheduler.plugin import PluginSpec


def gated(pod: Pod) -> bool:
    return bool(pod.spec.scheduling_gates)


SPEC = PluginSpec(name="SchedulingGates")
