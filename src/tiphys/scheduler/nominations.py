"""Pods that room is kept for: they made others leave a node and wait for that.

Source: pkg/scheduler/backend/queue/nominator.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tiphys.scheduler.pods import PodRecord


class Nominations:
    """Waiting pods by the node they are nominated for."""

    def __init__(self) -> None:
        self.node_of: dict[str, str] = {}
        """UID to the node."""
        self._on: dict[str, dict[str, PodRecord]] = {}

    def set(self, pod: PodRecord, node: str) -> Iterable[str]:
        """Nominate for `node`, or for none. The names of nodes where that changes anything."""
        before = self.node_of.get(pod.uid, "")
        if before:
            del self._on[before][pod.uid]
            if not self._on[before]:
                del self._on[before]
            del self.node_of[pod.uid]
        if node:
            self.node_of[pod.uid] = node
            self._on.setdefault(node, {})[pod.uid] = pod
        return {before, node} - {""}

    def on(self, node: str, priority: int) -> list[PodRecord]:
        """Pods nominated for `node` that a pod of `priority` must leave room for."""
        found = self._on.get(node)
        return [pod for pod in found.values() if pod.priority >= priority] if found else []

    def nodes(self) -> Iterator[str]:
        return iter(self._on)
