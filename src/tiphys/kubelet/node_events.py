"""Events about the node itself: whom they name, and what changes of its conditions are called.

Source: pkg/kubelet/nodestatus/setters.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.api.kinds.core.node import NodeCondition
from tiphys.api.kinds.core.references import ObjectReference

_REASONS = {
    ("MemoryPressure", "True"): "NodeHasInsufficientMemory",
    ("MemoryPressure", "False"): "NodeHasSufficientMemory",
    ("DiskPressure", "True"): "NodeHasDiskPressure",
    ("DiskPressure", "False"): "NodeHasNoDiskPressure",
    ("PIDPressure", "True"): "NodeHasInsufficientPID",
    ("PIDPressure", "False"): "NodeHasSufficientPID",
    ("Ready", "True"): "NodeReady",
    ("Ready", "False"): "NodeNotReady",
}


def reasons(before: Sequence[NodeCondition], after: Sequence[NodeCondition]) -> list[str]:
    """One for each condition whose status differs. Being ready or not is no news of a node that is just made."""
    known = {condition.type: condition.status for condition in before}
    return [
        _REASONS[condition.type, condition.status]
        for condition in after
        if (condition.type, condition.status) in _REASONS
        and known.get(condition.type) != condition.status
        and (condition.type in known or condition.type != "Ready")
    ]


def node_reference(name: str) -> ObjectReference:
    """Events about nodes carry the name as UID, as upstream's do."""
    return ObjectReference(kind="Node", name=name, uid=name)
