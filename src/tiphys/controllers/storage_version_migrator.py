"""Has every object of a resource written again, so that all are stored in today's version and with today's key.

Woken by: migrations; the definitions of custom resources. Writes: the migration's status; each object once, as it is.
An object that somebody changed since the migration began needs nothing any more: that is told by its resource version.
Runs only where the API is served (`--runtime-config`), as upstream behind its gate.
Races: each write names UID and resource version; one that is refused for these was made by somebody else, or is moot.
Source: pkg/controller/storageversionmigrator; KEP-4192.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from tiphys.api.kind import Kind
from tiphys.api.kinds import CUSTOMRESOURCEDEFINITION, STORAGEVERSIONMIGRATION, STORED_KINDS
from tiphys.api.kinds.storagemigration.storageversionmigration import StorageVersionMigration
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import Condition
from tiphys.base.clock import parse_rfc3339, rfc3339
from tiphys.client.custom import stored_kind
from tiphys.client.interface import Client
from tiphys.controllers._actions import Action, Patch, RequeueAfter, UpdateStatus
from tiphys.controllers._spec import ControllerSpec, Key, Listers

UNKNOWN_S, LOOK_S = 60.0, 5.0
"""How long a resource may be unknown: its definition may have come just now."""
_PAGE = 500


class Written(NamedTuple):
    """One object, as it was when it was listed."""

    name: str
    namespace: str
    uid: str
    resource_version: str


@dataclass(frozen=True)
class World:
    migration: StorageVersionMigration
    kind: Kind[Any] | None
    """What is to be written again; None: no such resource."""
    now: datetime
    latest: str = ""
    """The resource's version now, at the first look."""
    objects: tuple[Written, ...] = ()
    """All that are older than the migration, at the second."""


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    migration = listers.get(STORAGEVERSIONMIGRATION, key.name)
    if migration is None or any(_is(migration, kind) for kind in ("Succeeded", "Failed")):
        return None
    wanted = migration.spec.resource
    found = next((k for k in STORED_KINDS if (k.group, k.plural) == (wanted.group, wanted.resource)), None)
    if found is None and wanted.group:
        definition = listers.get(CUSTOMRESOURCEDEFINITION, f"{wanted.resource}.{wanted.group}")
        found = stored_kind(definition) if definition is not None else None
    return World(migration, found, now)


async def observe(client: Client, _key: Key, world: World) -> World:
    if world.kind is None:
        return world
    since = world.migration.status.resource_version
    if not since:
        return replace(world, latest=(await client.list(world.kind, limit=1)).resource_version)
    found: list[Written] = []
    token = ""
    while True:
        page = await client.list(world.kind, limit=_PAGE, continue_token=token)
        metas = (each.metadata for each in page.items)
        found += [
            Written(meta.name, meta.namespace, meta.uid, meta.resource_version)
            for meta in metas
            if int(meta.resource_version) <= int(since)
        ]
        token = page.continue_token
        if not token:
            return replace(world, objects=tuple(found))


def plan(_key: Key, world: World) -> Sequence[Action]:
    migration, kind = world.migration, world.kind
    if kind is None:
        made = migration.metadata.creation_timestamp
        age_s = (world.now - parse_rfc3339(made)).total_seconds() if made else 0.0
        if age_s < UNKNOWN_S:
            return [RequeueAfter(LOOK_S)]
        return [_ended(world, "Failed", "resource does not exist in discovery")]
    if not migration.status.resource_version:
        changed = copy_of(migration)
        changed.status.resource_version = world.latest
        changed.status.conditions = [_condition(world, "Running", "StorageVersionMigrationInProgress", "")]
        return [UpdateStatus(STORAGEVERSIONMIGRATION, changed)]
    patches = [
        Patch(
            kind,
            each.name,
            each.namespace,
            {"metadata": {"uid": each.uid, "resourceVersion": each.resource_version}},
            "merge",
            moot_ok=True,
        )
        for each in world.objects
    ]
    return [*patches, _ended(world, "Succeeded", "")]


def _is(migration: StorageVersionMigration, kind: str) -> bool:
    return any(each.type == kind and each.status == "True" for each in migration.status.conditions)


def _condition(world: World, kind: str, reason: str, message: str) -> Condition:
    return Condition(type=kind, status="True", last_transition_time=rfc3339(world.now), reason=reason, message=message)


def _ended(world: World, kind: str, message: str) -> UpdateStatus:
    changed = copy_of(world.migration)
    for each in changed.status.conditions:
        if each.type == "Running":
            each.status = "False"
    changed.status.conditions.append(_condition(world, kind, f"StorageVersionMigration{kind}", message))
    return UpdateStatus(STORAGEVERSIONMIGRATION, changed)


SPEC = ControllerSpec(
    name="storage-version-migrator-controller",
    primary=STORAGEVERSIONMIGRATION,
    read=read,
    observe=observe,
    plan=plan,
    reads=(CUSTOMRESOURCEDEFINITION,),
    workers=1,
)
