"""Why no node took a pod: counts of reasons, in upstream's words.

    0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). preemption: 0/3 nodes are
    available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.

Source: FitError in pkg/scheduler/framework/types.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
Rows = npt.NDArray[np.intp]
Asked = Callable[[PluginSpec], None]
"""Told which plugin is about to be run."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    nodes: int
    """How many nodes there are."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Reason to number of nodes; one node may have several."""
    plugins: frozenset[str] = frozenset()
    """Who refused: only what they wait for can wake the pod. Empty: anything can."""
    conflict: str = ""
    """The pod can run on no node whatever they have; replaces the reasons."""
    resolvable: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    """Rows where removing pods could help."""

    @classmethod
    def no_nodes(cls) -> Diagnosis:
        return cls(0)

    def message(self) -> str:
        """Without what preemption has to say."""
        if not self.nodes:
            return NO_NODES
        text = NOT_AVAILABLE.format(self.nodes)
        if self.conflict:
            text += f" {self.conflict}."
        elif self.reasons:
            text += f" {histogram(self.reasons)}."
        return text


def histogram(reasons: Mapping[str, int]) -> str:
    """Sorted as text, count first, as upstream does: `10 a` comes before `2 b`."""
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items() if count))


def count(reasons: dict[str, int], more: Mapping[str, int]) -> None:
    for reason, number in more.items():
        if number:
            reasons[reason] = reasons.get(reason, 0) + number


def diagnose(table: NodeTable, plugins: Sequence[PluginSpec], pod: PodRecord, asked: Asked) -> Diagnosis:
    """Ask each filter in order about the nodes that no earlier one refused. Cost O(N) per filter."""
    for plugin in plugins:
        asked(plugin)
        why = plugin.refuse(table, pod) if plugin.refuse and plugin.applies(pod) else ""
        if why:
            return Diagnosis(table.count, plugins=frozenset((plugin.name,)), conflict=why)
    remaining = np.flatnonzero(table.live[: table.high])
    reasons: dict[str, int] = {}
    refusing: set[str] = set()
    resolvable: list[Rows] = []
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
        count(reasons, {OUTSIDE.format(plugin.name): outside - len(remaining)})
    for plugin in plugins:
        if not plugin.applies(pod):
            continue
        asked(plugin)
        every = len(remaining) == table.high  # a slice is read without copying
        passed = _asked(table, plugin, pod, slice(0, table.high) if every else remaining)
        if passed is None or passed.all():
            continue
        refused = remaining[~passed]
        remaining = remaining[passed]
        refusing.add(plugin.name)
        count(reasons, explained(table, plugin, pod, refused))
        resolvable.append(refused[plugin.resolvable(table, pod, refused)])
    for row in remaining.tolist():
        _kept_for_others(table, plugins, pod, row, reasons, refusing, resolvable)
    rows = np.concatenate(resolvable) if resolvable else np.zeros(0, dtype=np.intp)
    return Diagnosis(table.count, reasons, frozenset(refusing), resolvable=rows)


def _kept_for_others(
    table: NodeTable,
    plugins: Sequence[PluginSpec],
    pod: PodRecord,
    row: int,
    reasons: dict[str, int],
    refusing: set[str],
    resolvable: list[Rows],
) -> None:
    """The node of `row` would do, but for pods that it is kept for."""
    with table.with_more(table.nominations.on(table.names[row], pod.priority), row):
        plugin = refuser(table, plugins, pod, row)
        if plugin is None:
            return
        one = np.array([row], dtype=np.intp)
        refusing.add(plugin.name)
        count(reasons, explained(table, plugin, pod, one))
        if plugin.resolvable(table, pod, one).all():
            resolvable.append(one)


def refuser(table: NodeTable, plugins: Sequence[PluginSpec], pod: PodRecord, row: int) -> PluginSpec | None:
    """The first plugin that refuses the node of `row`."""
    for plugin in plugins:
        if plugin.filter_row and plugin.applies(pod) and not plugin.filter_row(table, pod, row):
            return plugin
    return None


def explained(table: NodeTable, plugin: PluginSpec, pod: PodRecord, rows: Rows) -> Mapping[str, int]:
    return plugin.explain(table, pod, rows) if plugin.explain else {plugin.reason: len(rows)}


def _asked(table: NodeTable, plugin: PluginSpec, pod: PodRecord, rows: Rows | slice) -> Bools | None:
    if plugin.filter is not None:
        return plugin.filter(table, pod, rows)
    if plugin.filter_among is not None:
        feasible = np.zeros(table.high, dtype=np.bool_)
        feasible[rows] = True
        passed = plugin.filter_among(table, pod, feasible)
        return None if passed is None else passed[rows]
    return None
