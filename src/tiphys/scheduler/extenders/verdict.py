"""What extenders said about the nodes that fit a pod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tiphys.scheduler.columns import Bools, Ints
from tiphys.scheduler.diagnosis import Diagnosis, count
from tiphys.scheduler.table import NodeTable

EXTENDER = "Extender"
"""Stands for extenders among the plugins that refused a pod: any change may help."""


@dataclass(frozen=True, slots=True)
class Verdict:
    allowed: frozenset[str]
    """Names of nodes."""
    added: Mapping[str, int] = field(default_factory=dict)
    """What their scores add to the plugins', weights included."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Nodes that they refused, and why; those that only left some out are not here."""
    unresolvable: frozenset[str] = frozenset()
    """Among `failed`: where preemption cannot help."""

    def allows(self, node: str) -> bool:
        return node in self.allowed

    def mask(self, table: NodeTable) -> Bools:
        found = np.zeros(table.high, dtype=np.bool_)
        rows = [table.rows[name] for name in self.allowed if name in table.rows]
        found[rows] = True
        return found

    def scores(self, table: NodeTable) -> Ints:
        found = np.zeros(table.high, dtype=np.int64)
        for name, score in self.added.items():
            row = table.rows.get(name)
            if row is not None:
                found[row] += score
        return found

    def add_to(self, diagnosis: Diagnosis, table: NodeTable) -> Diagnosis:
        """The diagnosis with the extenders' refusals; they can be overcome unless they say that they cannot."""
        reasons = dict(diagnosis.reasons)
        for why in self.failed.values():
            count(reasons, {why: 1})
        rows = [table.rows[n] for n in self.failed.keys() - self.unresolvable if n in table.rows]
        return replace(
            diagnosis,
            reasons=reasons,
            plugins=diagnosis.plugins | {EXTENDER},
            resolvable=np.union1d(diagnosis.resolvable, np.array(rows, dtype=np.intp)),
        )
