"""An APIService for every group and version that this server answers for itself, custom ones included.

Source: pkg/controlplane/apiserver/aggregator.go, staging/src/k8s.io/kube-aggregator/pkg/controllers/autoregister,
pkg/controlplane/controller/crdregistration.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from tiphys.api.custom import definition as definitions
from tiphys.api.errors import AlreadyExists, ApiError
from tiphys.api.kind import Kind, new
from tiphys.api.kinds import APISERVICE, CUSTOMRESOURCEDEFINITION
from tiphys.api.kinds.apiregistration.apiservice import APIServiceSpec
from tiphys.api.meta.schema import copy_of
from tiphys.apiserver.registry.interface import Entry, Registry, WriteOptions
from tiphys.apiserver.request import User
from tiphys.base.clock import Clock

log = logging.getLogger(__name__)

LABEL = "kube-aggregator.kubernetes.io/automanaged"
_USER = User("system:apiserver", groups=("system:masters",))
_OPTIONS = WriteOptions(user=_USER, field_manager="kube-apiserver")
_RETRY_S = 5.0

_GROUPS: dict[str, int] = {
    "": 18000, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700, "authorization.k8s.io": 17600,
    "autoscaling": 17500, "batch": 17400, "certificates.k8s.io": 17300, "networking.k8s.io": 17200, "policy": 17100,
    "rbac.authorization.k8s.io": 17000, "storage.k8s.io": 16800, "admissionregistration.k8s.io": 16700,
    "apiextensions.k8s.io": 16700, "scheduling.k8s.io": 16600, "coordination.k8s.io": 16500, "node.k8s.io": 16300,
    "discovery.k8s.io": 16200, "flowcontrol.apiserver.k8s.io": 16100, "internal.apiserver.k8s.io": 16000,
    "resource.k8s.io": 16200, "storagemigration.k8s.io": 15800,
}  # fmt: skip
_VERSIONS: dict[tuple[str, str], int] = {
    ("", "v1"): 1, ("autoscaling", "v2"): 30, ("autoscaling", "v1"): 15, ("flowcontrol.apiserver.k8s.io", "v1"): 21,
    ("resource.k8s.io", "v1"): 21, ("resource.k8s.io", "v1beta2"): 15, ("resource.k8s.io", "v1alpha3"): 1,
}  # fmt: skip
_CUSTOM_GROUP, _CUSTOM_VERSION = 1000, 100


def wanted_locals(kinds: Iterable[Kind[Any]]) -> dict[str, APIServiceSpec]:
    """By name, for the built-in kinds. The aggregator's own group has none, as upstream."""
    found: dict[str, APIServiceSpec] = {}
    for kind in kinds:
        if kind.group == APISERVICE.group:
            continue
        priority = _VERSIONS.get((kind.group, kind.version)) or (15 if "beta" not in kind.version else 9)
        found[f"{kind.version}.{kind.group}"] = APIServiceSpec(
            group=kind.group, version=kind.version, group_priority_minimum=_GROUPS.get(kind.group, 1000),
            version_priority=priority,
        )  # fmt: skip
    return found


class Registration:
    """Makes and removes the APIServices that we manage; others' are left alone."""

    def __init__(self, registry: Registry, kinds: Iterable[Kind[Any]], clock: Clock) -> None:
        self._registry = registry
        self._kinds = tuple(kinds)
        self._clock = clock
        self._api_services = registry.cache_of(APISERVICE)
        self._definitions = registry.cache_of(CUSTOMRESOURCEDEFINITION)
        self._read: dict[str, tuple[Entry, definitions.Definition]] = {}  # without their schemas, which are large
        self._started = False
        self._awake = asyncio.Event()
        self._awake.set()
        self._stops = [self._definitions.subscribe(self._changed), self._api_services.subscribe(self._ours_changed)]

    def _changed(self, _type: str, _new: Entry | None, _old: Entry | None) -> None:
        self._awake.set()

    def _ours_changed(self, _type: str, new: Entry | None, old: Entry | None) -> None:
        if new is None or (old is not None and old.obj.spec != new.obj.spec):
            self._awake.set()

    async def run(self) -> None:
        try:
            while True:
                await self._awake.wait()
                self._awake.clear()
                try:
                    await self.sync()
                except ApiError as error:
                    log.warning("APIServices cannot be brought up to date: %s", error)
                    await self._clock.sleep(_RETRY_S)
                    self._awake.set()
        finally:
            for stop in self._stops:
                stop()

    def _wanted(self) -> dict[str, tuple[APIServiceSpec, str]]:
        """name -> (spec, value of the label)"""
        found = {name: (spec, "onstart") for name, spec in wanted_locals(self._kinds).items()}
        known, self._read = self._read, {}
        for entry in self._definitions.entries():
            before = known.get(entry.name)
            definition = before[1] if before is not None and before[0] is entry else definitions.read(entry.data)
            self._read[entry.name] = entry, definition
            spec = definition.spec
            if definition.metadata.deletion_timestamp is not None and definition.condition("Established") != "True":
                continue
            for version in spec.versions:
                if version.served:
                    found.setdefault(
                        f"{version.name}.{spec.group}",
                        (
                            APIServiceSpec(
                                group=spec.group, version=version.name, group_priority_minimum=_CUSTOM_GROUP,
                                version_priority=_CUSTOM_VERSION,
                            ),
                            "true",
                        ),
                    )  # fmt: skip
        return found

    async def sync(self) -> None:
        wanted = self._wanted()
        known = {entry.name: entry.obj for entry in self._api_services.entries()}
        async with asyncio.TaskGroup() as group:
            for name, (spec, label) in wanted.items():
                obj = known.get(name)
                if obj is None and (label == "true" or not self._started):
                    group.create_task(self._create(name, spec, label))
                elif (
                    obj is not None
                    and obj.metadata.labels.get(LABEL) == "true"
                    and label == "true"
                    and obj.spec != spec
                ):
                    group.create_task(self._update(name, spec))
            for name, obj in known.items():
                if obj.metadata.labels.get(LABEL) == "true" and name not in wanted:
                    group.create_task(self._delete(name, obj.metadata.uid))
        self._started = True  # what of our own is deleted from now on comes back with the next start, as upstream

    async def _create(self, name: str, spec: APIServiceSpec, label: str) -> None:
        obj = new(APISERVICE, name, spec=copy_of(spec))
        obj.metadata.labels = {LABEL: label}
        try:
            await self._registry.create(APISERVICE, "", obj, _OPTIONS)
        except AlreadyExists:
            return

    async def _update(self, name: str, spec: APIServiceSpec) -> None:
        def changed(current: Any) -> Any:
            obj = copy_of(current)
            obj.spec = copy_of(spec)
            return obj

        await self._registry.update(APISERVICE, "", name, changed, _OPTIONS)

    async def _delete(self, name: str, uid: str) -> None:
        from tiphys.api.errors import Conflict, NotFound
        from tiphys.api.meta.types import DeleteOptions, Preconditions

        options = DeleteOptions(preconditions=Preconditions(uid=uid))
        try:
            await self._registry.delete(APISERVICE, "", name, options, _OPTIONS)
        except (NotFound, Conflict):
            return
