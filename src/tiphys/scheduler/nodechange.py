"""What about a node changed that placement could depend on. Source: pkg/scheduler/eventhandlers.go."""

from __future__ import annotations

from enum import Flag, auto

from tiphys.api.kinds.core.node import Node


class NodeChange(Flag):
    """What about a node changed that placement could depend on."""

    NONE = 0
    ADDED = auto()
    ALLOCATABLE = auto()
    LABELS = auto()
    TAINTS = auto()
    """Taints or `spec.unschedulable`."""
    FEATURES = auto()
    """Declared features."""
    IMAGES = auto()


def difference(old: Node, new: Node) -> NodeChange:
    change = NodeChange.NONE
    if old.status.allocatable != new.status.allocatable:
        change |= NodeChange.ALLOCATABLE
    if old.metadata.labels != new.metadata.labels:
        change |= NodeChange.LABELS
    if old.spec.unschedulable != new.spec.unschedulable or old.spec.taints != new.spec.taints:
        change |= NodeChange.TAINTS
    if old.status.declared_features != new.status.declared_features:
        change |= NodeChange.FEATURES
    if old.status.images != new.status.images:
        change |= NodeChange.IMAGES
    return change
