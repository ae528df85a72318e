"""Why no node took a pod: counts of reasons, in upstream's words.

    0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). preemption: 0/3 nodes are
    available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.

Source: FitError in pkg/scheduler/framework/types.go, pkg/scheduler/framework/preemption/preemption.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tiphys.scheduler.columns import Bools
from tiphys.scheduler.plugin import PluginSpec
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.table import NodeTable

NO_NODES = "no nodes available to schedule pods"
NOT_AVAILABLE = "0/{} nodes are available:"
OUTSIDE = "node(s) didn't satisfy plugin(s) [{}]"
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    nodes: int
    """How many nodes there are."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Reason to number of nodes; one node may have several."""
    plugins: frozenset[str] = frozenset()
    """Who refused: only what they wait for can wake the pod. Empty: anything can."""
    conflict: str = ""
    """The pod's own terms contradict each other; replaces the reasons."""
    resolvable: int = 0
    """Nodes where removing pods could help."""

    @classmethod
    def no_nodes(cls) -> Diagnosis:
        return cls(0)

    def message(self) -> str:
        if not self.nodes:
            return NO_NODES
        text = NOT_AVAILABLE.format(self.nodes)
        if self.conflict:
            text += f" {self.conflict}."
        elif self.reasons:
            text += f" {_histogram(self.reasons)}."
        helpless = {NO_VICTIMS: self.resolvable, NOT_HELPFUL: self.nodes - self.resolvable}
        return f"{text} preemption: {NOT_AVAILABLE.format(self.nodes)} {_histogram(helpless)}."


def _histogram(reasons: Mapping[str, int]) -> str:
    """Sorted as text, count first, as upstream does: `10 a` comes before `2 b`."""
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items() if count))


def diagnose(table: NodeTable, plugins: Sequence[PluginSpec], pod: PodRecord) -> Diagnosis:
    """Ask each filter in order about the nodes that no earlier one refused. Cost O(N) per filter."""
    remaining = np.flatnonzero(table.live[: table.high])
    reasons: dict[str, int] = {}
    refusing: set[str] = set()
    resolvable = 0
    for plugin in plugins:
        names = plugin.narrow(pod) if plugin.narrow else None
        if names is None:
            continue
        refusing.add(plugin.name)
        if not names:
            return Diagnosis(table.count, plugins=frozenset(refusing), conflict=plugin.conflict)
        inside = [table.rows[name] for name in names if name in table.rows]
        outside = len(remaining)
        remaining = np.intersect1d(remaining, np.array(inside, dtype=np.intp))
        _count(reasons, {OUTSIDE.format(plugin.name): outside - len(remaining)})
    for plugin in plugins:
        if not plugin.applies(pod):
            continue
        passed = _asked(table, plugin, pod, remaining)
        if passed is None or passed.all():
            continue
        refused = remaining[~passed]
        remaining = remaining[passed]
        refusing.add(plugin.name)
        _count(reasons, plugin.explain(table, pod, refused) if plugin.explain else {plugin.reason: len(refused)})
        resolvable += int(np.count_nonzero(plugin.resolvable(table, pod, refused)))
    return Diagnosis(table.count, reasons, frozenset(refusing), resolvable=resolvable)


def _asked(table: NodeTable, plugin: PluginSpec, pod: PodRecord, rows: npt.NDArray[np.intp]) -> Bools | None:
    if plugin.filter is not None:
        return plugin.filter(table, pod, rows)
    if plugin.filter_among is not None:
        feasible = np.zeros(table.high, dtype=np.bool_)
        feasible[rows] = True
        passed: Bools = plugin.filter_among(table, pod, feasible)[rows]
        return passed
    return None


def _count(reasons: dict[str, int], more: Mapping[str, int]) -> None:
    for reason, count in more.items():
        if count:
            reasons[reason] = reasons.get(reason, 0) + count
