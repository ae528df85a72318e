"""The two priority classes of the system, put back at every start should they be gone or changed.

Source: pkg/registry/scheduling/rest/storage_scheduling.go, pkg/apis/scheduling/v1/helpers.go.
"""

from __future__ import annotations

from tiphys.api.errors import AlreadyExists
from tiphys.api.kind import new
from tiphys.api.kinds import PRIORITYCLASS
from tiphys.api.kinds.scheduling.priorityclass import SYSTEM_CLASSES
from tiphys.api.meta.types import DeleteOptions
from tiphys.apiserver.registry.interface import Registry, WriteOptions
from tiphys.apiserver.request import User

_DESCRIPTIONS = {
    "system-node-critical": "Used for system critical pods that must not be moved from their node.",
    "system-cluster-critical": (
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."
    ),
}
_OPTIONS = WriteOptions(User("system:apiserver", groups=("system:masters",)), field_manager="kube-apiserver")


async def priority_classes(registry: Registry) -> None:
    cache = registry.cache_of(PRIORITYCLASS)
    for name, value in SYSTEM_CLASSES.items():
        entry = cache.get("", name)
        if entry is not None and entry.obj.value == value:
            continue
        if entry is not None:
            await registry.delete(PRIORITYCLASS, "", name, DeleteOptions(), _OPTIONS)
        made = new(PRIORITYCLASS, name, value=value, description=_DESCRIPTIONS[name])
        try:
            await registry.create(PRIORITYCLASS, "", made, _OPTIONS)
        except AlreadyExists:
            continue  # another API server was faster
