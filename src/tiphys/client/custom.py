"""The custom kinds of a cluster, as they come and go: for whoever must see every kind there is.

Source: what client-go's discovery and dynamic informers are for in the garbage collector and the namespace controller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tiphys.api.custom.definition import Definition, Spec, Version
from tiphys.api.custom.kind import kinds_of
from tiphys.api.kind import Kind
from tiphys.api.kinds import CUSTOMRESOURCEDEFINITION
from tiphys.client.interface import Client, EventType

if TYPE_CHECKING:
    from tiphys.api.kinds.apiextensions.customresourcedefinition import CustomResourceDefinition

Change = Callable[[Kind[Any], bool], None]
"""(kind, whether it is served now)"""


def follow_custom_kinds(client: Client, change: Change) -> Callable[[], None]:
    """Call for each custom kind there is and that comes, and when it goes; one version of each, the stored one.

    Returns how to stop. `change` is called on the loop and must not block.
    """
    known: dict[str, Kind[Any]] = {}

    def changed(_type: EventType, old: CustomResourceDefinition | None, new: CustomResourceDefinition | None) -> None:
        obj = new if new is not None else old
        if obj is None:
            return
        kind = None if new is None else stored_kind(new)
        before = known.get(obj.metadata.name)
        if kind is not None and before == kind:
            return
        if before is not None:
            del known[obj.metadata.name]
            change(before, False)
        if kind is not None:
            known[obj.metadata.name] = kind
            change(kind, True)

    return client.informer(CUSTOMRESOURCEDEFINITION).subscribe(changed)


def stored_kind(obj: CustomResourceDefinition) -> Kind[Any] | None:
    """The kind in its stored version; None while the definition is not established."""
    if not any(c.type == "Established" and c.status == "True" for c in obj.status.conditions):
        return None
    versions = [Version(name=v.name, served=v.served, storage=v.storage) for v in obj.spec.versions]
    spec = Spec(group=obj.spec.group, names=obj.spec.names, scope=obj.spec.scope, versions=versions)
    definition = Definition(metadata=obj.metadata, spec=spec, status=obj.status)
    return kinds_of(definition, obj.status.accepted_names)[definition.storage_version.name]
