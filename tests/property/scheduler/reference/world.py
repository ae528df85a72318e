"""A cluster twice: as the scheduler's table, and as plain lists."""

from __future__ import annotations

from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.labels import selector_of_map
from tiphys.scheduler.pods import Group, PodRecord
from tiphys.scheduler.table import NodeTable


class World:
    """The table, and the same facts in plain Python."""

    def __init__(self, nodes: list[Node], bound: list[Pod], pod: Pod) -> None:
        self.nodes = nodes
        self.namespaces = {"default": {"team": "a"}, "other": {"team": "b"}}
        self.table = NodeTable(capacity=2)  # small, so that growing is always tried
        for name, labels in self.namespaces.items():
            self.table.namespace_changed(name, labels)
        for node in nodes:
            self.table.set_node(node)
        self.on: dict[str, list[PodRecord]] = {node.metadata.name: [] for node in nodes}
        for other in bound:
            record = self.table.record(other)
            self.table.set_pod(record)
            self.on[record.node].append(record)
        self.pod = self.table.record(pod)
        self.pod.group = Group("default", (selector_of_map({"app": "web"}),))
        self.every = slice(0, self.table.high)

    def used(self, node: str, resource: str) -> int:
        return sum(pod.shape.requests.get(resource, 0) for pod in self.on[node])
