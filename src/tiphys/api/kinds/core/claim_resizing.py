"""How a claim's status tells of its volume's growth: steps of the controller, then of the node. Pure.

Source: pkg/volume/util/resize_util.go; KEP-1790 (recovery from volume expansion failure).
"""

from __future__ import annotations

from typing import Any

from tiphys.api.codec import to_json
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim

STORAGE = "storage"
PENDING, RESIZING = "FileSystemResizePending", "Resizing"
CONTROLLER_ERROR, NODE_ERROR = "ControllerResizeError", "NodeResizeError"
_CONDITIONS = frozenset((PENDING, RESIZING, CONTROLLER_ERROR, NODE_ERROR))
INFEASIBLE = frozenset(("INVALID_ARGUMENT", "OUT_OF_RANGE", "NOT_FOUND"))
"""Answers of a driver that another try at the same size will not change."""


def resize_step(
    claim: PersistentVolumeClaim,
    step: str,
    now: str,
    *,
    size: str = "",
    condition: str = "",
    message: str = "",
    keep: bool = False,
) -> dict[str, Any]:
    """A merge patch of the status. `step`: of `allocatedResourceStatuses` (`ControllerResizeInProgress`), empty: as it
    is; `condition`: which becomes true (one that says the same already stays as it is); `keep`: conditions of earlier
    steps stay."""
    conditions = [
        to_json(each)
        for each in claim.status.conditions
        if each.type not in _CONDITIONS or (keep and each.type != condition)
    ]
    if condition:
        known = next((each for each in claim.status.conditions if each.type == condition), None)
        if known is not None and (known.status, known.message) == ("True", message):
            conditions.append(to_json(known))
        else:
            made = {"type": condition, "status": "True", "lastTransitionTime": now}
            conditions.append({**made, "message": message} if message else made)
    status: dict[str, Any] = {"conditions": conditions}
    if size:
        status["allocatedResources"] = {STORAGE: size}
    if step:
        status["allocatedResourceStatuses"] = {STORAGE: step}
    return {"status": status}


def resize_done(claim: PersistentVolumeClaim, size: str) -> dict[str, Any]:
    """A merge patch of the status: the volume has this size, and nothing is left to do."""
    kept = [to_json(each) for each in claim.status.conditions if each.type not in _CONDITIONS]
    return {"status": {"capacity": {STORAGE: size}, "conditions": kept, "allocatedResourceStatuses": None}}


def step_of(claim: PersistentVolumeClaim) -> str:
    """How far the growth is; empty: none is under way."""
    return claim.status.allocated_resource_statuses.get(STORAGE, "")
