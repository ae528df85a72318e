"""What happens in the cluster, as far as a waiting pod could care.

A pod that fitted nowhere sleeps until something changes that could help it. `Wake` names the kinds of change; plugins
say which of them may overturn their refusal, and a hint may look at the change itself ("a node was added, but it is
too small for this pod as well").

Source: pkg/scheduler/framework/events.go (queueing hints).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import TypeAlias

import msgspec

from tiphys.api.kinds.core.node import Node
from tiphys.scheduler.pods import PodRecord


class Wake(Enum):
    NODE_ADDED = auto()
    NODE_REMOVED = auto()
    NODE_ALLOCATABLE = auto()
    NODE_LABELS = auto()
    NODE_TAINTS = auto()
    NODE_FEATURES = auto()
    POD_ADDED = auto()
    """A pod was bound."""
    POD_REMOVED = auto()
    """A bound pod was deleted or finished."""
    POD_CHANGED = auto()
    """A bound pod's labels or requests changed."""
    NAMESPACE = auto()
    """A namespace's labels changed."""
    CLAIM = auto()
    """A PersistentVolumeClaim came or changed."""
    VOLUME = auto()
    """A PersistentVolume came or changed."""
    STORAGE_CLASS = auto()
    CSI_NODE = auto()
    """A driver on a node came, went, or changed its limit."""
    STORAGE_CAPACITY = auto()
    DEVICES = auto()
    """A ResourceClaim, ResourceSlice or DeviceClass came or changed."""
    POD_GROUP = auto()
    """A PodGroup came, or a pod of one."""


class Change(msgspec.Struct, frozen=True, eq=False):
    """One change. Only what belongs to its kind is set."""

    wake: Wake
    node: Node | None = None
    old_node: Node | None = None
    pod: PodRecord | None = None
    key: str = ""
    """What else changed: `namespace/name` of a claim, for example."""


Hint: TypeAlias = Callable[[PodRecord, Change], bool]
"""(waiting pod, change) to whether the pod is worth another try. When in doubt, True."""
