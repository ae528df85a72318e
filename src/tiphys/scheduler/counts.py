"""How many pods of a group run on each node and in each domain, kept up to date pod by pod.

Spreading and affinity ask "how many pods that my selector matches are on each node, in each zone". Counting anew for
every pod would cost O(pods); here each group in use has a column per node, and one per domain of each label key that
was asked for, built once and then adjusted when a pod comes or goes. `TermIndex` turns the question round: which
terms of pods that are there speak of the pod that is coming.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias
from weakref import WeakValueDictionary

import numpy as np

from tiphys.scheduler.columns import Ints, LabelColumn, grown
from tiphys.scheduler.pods import Identity, PodRecord, Shape
from tiphys.scheduler.terms import Namespaces, Term

LabelOf: TypeAlias = Callable[[str], LabelColumn]
_MEMO = "counts/terms"


class Countable(Protocol):
    """A set of pods. Hashable."""

    @property
    def scope(self) -> frozenset[str] | None:
        """The only namespaces where they can be; None: any."""

    def has(self, pod: Identity, *, leaving: bool, namespaces: Namespaces) -> bool: ...


class Domains:
    """Counts by the value of one label: `counts[column.ids]` gives them per row, 0 where the label is absent."""

    __slots__ = ("column", "counts", "total", "version")

    def __init__(self, column: LabelColumn, by_row: Iterable[tuple[int, int]]) -> None:
        self.column = column
        self.version = column.version
        self.counts: Ints = np.zeros(len(column.texts) + 1, dtype=np.int64)  # the last: -1, absent, looks there
        self.total = 0
        """Counted pods on nodes that have the label."""
        for row, count in by_row:
            self.add(row, count)

    @property
    def current(self) -> bool:
        return self.version == self.column.version

    def add(self, row: int, count: int) -> None:
        if self.version == self.column.version:
            domain = self.column.ids[row]
            if domain >= 0:
                self.counts[domain] += count
                self.total += count

    def per_row(self, high: int) -> Ints:
        """int64[high]: the count of each node's domain."""
        found: Ints = self.counts[self.column.ids[:high]]
        return found


class _Tally:
    """Counts per row with their domains."""

    def __init__(self) -> None:
        self._domains: dict[str, Domains] = {}

    def by_row(self) -> Iterable[tuple[int, int]]:
        raise NotImplementedError

    def domains(self, key: str, label_of: LabelOf) -> Domains:
        known = self._domains.get(key)
        column = label_of(key)
        if known is None or known.column is not column or not known.current:
            known = self._domains[key] = Domains(column, self.by_row())
        return known

    def _added(self, row: int, count: int) -> None:
        for domains in self._domains.values():
            domains.add(row, count)


class GroupColumn(_Tally):
    """Pods of one group on each row, as a column."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.rows: Ints = np.zeros(capacity, dtype=np.int64)

    def by_row(self) -> Iterator[tuple[int, int]]:
        for row in np.flatnonzero(self.rows):
            yield int(row), int(self.rows[row])

    def add(self, row: int, count: int) -> None:
        self.rows[row] += count
        self._added(row, count)


class GroupCounts:
    """Columns of pod counts, one per group that was asked for.

    Limits: `groups_max` columns, the one unused for longest goes; the memo of identities is dropped when it exceeds
    `identities_max` entries.
    """

    def __init__(
        self,
        pods_of: Callable[[frozenset[str] | None], Iterable[tuple[PodRecord, int]]],
        namespaces: Namespaces,
        *,
        groups_max: int = 512,
        identities_max: int = 8192,
    ) -> None:
        self._pods_of = pods_of
        self._namespaces = namespaces
        self._columns: dict[Countable, GroupColumn] = {}
        self._by_identity: dict[tuple[Identity, bool], tuple[GroupColumn, ...]] = {}
        self._groups_max = groups_max
        self._identities_max = identities_max
        self._version = namespaces.version

    def get(self, group: Countable, capacity: int) -> GroupColumn:
        """Pods of `group` per row; `add` keeps it current."""
        self._check_namespaces()
        column = self._columns.get(group)
        if column is None:
            column = GroupColumn(capacity)
            for pod, row in self._pods_of(group.scope):
                if group.has(pod.identity, leaving=pod.terminating, namespaces=self._namespaces):
                    column.rows[row] += 1
            if len(self._columns) >= self._groups_max:
                del self._columns[next(iter(self._columns))]
            self._columns[group] = column
            self._by_identity.clear()
        return column

    def add(self, pod: PodRecord, row: int, sign: int) -> None:
        """A pod came to (`sign` 1) or left (-1) the node of `row`."""
        if not self._columns:
            return
        self._check_namespaces()
        key = (pod.identity, pod.terminating)
        columns = self._by_identity.get(key)
        if columns is None:
            if len(self._by_identity) >= self._identities_max:
                self._by_identity.clear()
            columns = self._by_identity[key] = tuple(
                column
                for group, column in self._columns.items()
                if group.has(pod.identity, leaving=pod.terminating, namespaces=self._namespaces)
            )
        for column in columns:
            column.add(row, sign)

    def _check_namespaces(self) -> None:
        """Groups that select by labels of namespaces are counted anew after those changed."""
        if self._version != self._namespaces.version:
            self._version = self._namespaces.version
            self._columns = {group: column for group, column in self._columns.items() if group.scope is not None}
            self._by_identity.clear()

    def clear_row(self, row: int) -> None:
        for column in self._columns.values():
            column.rows[row] = 0

    def grow(self, capacity: int) -> None:
        for column in self._columns.values():
            column.rows = grown(column.rows, capacity)


class TermTally(_Tally):
    """On which rows how many pods have one term."""

    def __init__(self, term: Term, kind: str, weight: int) -> None:
        super().__init__()
        self.term = term
        self.kind = kind
        self.weight = weight
        self.rows: dict[int, int] = {}

    def by_row(self) -> Iterable[tuple[int, int]]:
        return self.rows.items()

    def add(self, row: int, count: int) -> None:
        now = self.rows.get(row, 0) + count
        if now:
            self.rows[row] = now
        else:
            self.rows.pop(row, None)
        self._added(row, count)


ANTI, NEAR, LIKED = "anti", "near", "liked"


class TermIndex:
    """The terms of all pods that are on nodes, and which of them match a given pod.

    A term lives as long as a shape that states it. Limits: `identities_max` remembered answers.
    """

    def __init__(self, namespaces: Namespaces, *, identities_max: int = 8192) -> None:
        self._namespaces = namespaces
        self._tallies: WeakValueDictionary[tuple[str, int, Term], TermTally] = WeakValueDictionary()
        self._matching: dict[Identity, tuple[TermTally, ...]] = {}
        self._identities_max = identities_max
        self._version = namespaces.version

    def add(self, pod: PodRecord, row: int, sign: int) -> None:
        if pod.shape.terms:
            for tally in self._of(pod.shape):
                tally.add(row, sign)

    def _of(self, shape: Shape) -> tuple[TermTally, ...]:
        known: tuple[TermTally, ...] | None = shape.memo.get(_MEMO)
        if known is None:
            terms = shape.terms
            known = shape.memo[_MEMO] = (
                *(self._tally(ANTI, 0, term) for term in terms.anti),
                *(self._tally(NEAR, 0, term) for term in terms.affinity),
                *(self._tally(LIKED, weight, term) for weight, term in terms.liked),
            )
        return known

    def _tally(self, kind: str, weight: int, term: Term) -> TermTally:
        tally = self._tallies.get((kind, weight, term))
        if tally is None:
            tally = self._tallies[(kind, weight, term)] = TermTally(term, kind, weight)
            self._matching.clear()
        return tally

    def about(self, pod: Identity) -> tuple[TermTally, ...]:
        """The terms of pods on nodes that match `pod`."""
        if self._version != self._namespaces.version:
            self._version = self._namespaces.version
            self._matching.clear()
        found = self._matching.get(pod)
        if found is None:
            if len(self._matching) >= self._identities_max:
                self._matching.clear()
            found = self._matching[pod] = tuple(
                tally for tally in self._tallies.values() if tally.term.matches(pod, self._namespaces)
            )
        return found

    def clear_row(self, row: int) -> None:
        for tally in self._tallies.values():
            tally.rows.pop(row, None)
