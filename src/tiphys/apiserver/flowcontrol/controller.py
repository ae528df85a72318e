"""Keeps the gate at what the FlowSchemas and PriorityLevelConfigurations say, and the objects complete and annotated.

The mandatory objects always have their fixed specs; the suggested ones are made where absent and brought up to date
while `apf.kubernetes.io/autoupdate-spec` is not `false`. Of schemas it writes the condition `Dangling`.
Source: staging/src/k8s.io/apiserver/pkg/util/flowcontrol/apf_controller.go, pkg/registry/flowcontrol/rest.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

from tiphys.api.errors import AlreadyExists, ApiError
from tiphys.api.kind import Kind, new
from tiphys.api.kinds import FLOWSCHEMA, PRIORITYLEVELCONFIGURATION
from tiphys.api.kinds.flowcontrol import mandatory
from tiphys.api.kinds.flowcontrol.flowschema import FlowSchemaCondition
from tiphys.api.meta.schema import copy_of
from tiphys.apiserver.flowcontrol.bootstrap import AUTO_UPDATE, suggested_levels, suggested_schemas
from tiphys.apiserver.flowcontrol.level import Level, Limits
from tiphys.apiserver.flowcontrol.matching import Classifier, Schema
from tiphys.apiserver.registry.interface import Entry, Registry, WriteOptions
from tiphys.apiserver.request import User
from tiphys.base.clock import Clock, rfc3339

log = logging.getLogger(__name__)

_USER = User("system:apiserver", groups=("system:masters",))
_OPTIONS = WriteOptions(user=_USER, field_manager="api-priority-and-fairness-config-producer-v1")
_STATUS = WriteOptions(user=_USER, field_manager="api-priority-and-fairness-config-consumer-v1", subresource="status")
_RETRY_S = 5.0


def limits_of(spec: Any, total_seats: int, total_shares: int) -> Limits | None:
    """None: without limits."""
    part = spec.limited
    if spec.type == "Exempt" or part is None:
        return None
    shares = part.nominal_concurrency_shares or 0
    nominal = math.ceil(total_seats * shares / total_shares) if total_shares else 0
    lower = nominal - round(nominal * (part.lendable_percent or 0) / 100)
    upper = total_seats
    if part.borrowing_limit_percent is not None:
        upper = min(total_seats, nominal + round(nominal * part.borrowing_limit_percent / 100))
    queuing = part.limit_response.queuing
    if part.limit_response.type != "Queue" or queuing is None:
        return Limits(nominal, lower, upper)
    return Limits(nominal, lower, upper, queuing.queues, queuing.hand_size, queuing.queue_length_limit)


class Configuration:
    """Makes levels and schemas of what is stored; `levels` is shared with the gate."""

    def __init__(self, registry: Registry, levels: dict[str, Level], total_seats: int) -> None:
        self._schemas = registry.cache_of(FLOWSCHEMA)
        self._level_objects = registry.cache_of(PRIORITYLEVELCONFIGURATION)
        self._levels = levels
        self._total_seats = total_seats

    def classifier(self) -> Classifier:
        """From the objects as they are; the mandatory ones are there even if not stored yet."""
        specs = {name: ("", spec) for name, spec in mandatory.priority_levels().items()}
        specs |= {e.name: (e.obj.metadata.uid, e.obj.spec) for e in self._level_objects.entries()}
        shares = sum((spec.limited.nominal_concurrency_shares or 0) for _, spec in specs.values() if spec.limited)
        for name, (uid, spec) in specs.items():
            limits = limits_of(spec, self._total_seats, shares)
            known = self._levels.get(name)
            if known is None or known.exempt != (limits is None):
                self._levels[name] = Level(name, uid, limits)
                continue
            known.uid, known.retired = uid, False
            if limits is not None and limits != known.limits:
                known.reconfigure(limits)
        for name, level in self._levels.items():
            level.retired = name not in specs
        schemas = {name: ("", spec) for name, spec in mandatory.flow_schemas().items()}
        schemas |= {e.name: (e.obj.metadata.uid, e.obj.spec) for e in self._schemas.entries()}
        return Classifier([
            Schema(name, uid, spec, self._levels[spec.priority_level_configuration.name])
            for name, (uid, spec) in schemas.items()
            if spec.priority_level_configuration.name in specs
        ])  # fmt: skip


class FlowControlController:
    """`run` follows the objects; `changed` is told of each new classifier."""

    def __init__(self, registry: Registry, configuration: Configuration, clock: Clock, control: Any) -> None:
        self._registry = registry
        self._configuration = configuration
        self._clock = clock
        self._control = control
        self._schemas = registry.cache_of(FLOWSCHEMA)
        self._levels = registry.cache_of(PRIORITYLEVELCONFIGURATION)
        self._awake = asyncio.Event()
        self._awake.set()
        self._stops = [cache.subscribe(self._changed) for cache in (self._schemas, self._levels)]

    def _changed(self, _type: str, new_entry: Entry | None, old: Entry | None) -> None:
        if new_entry is not None and old is not None and new_entry.obj.spec == old.obj.spec:
            status_only = new_entry.kind != FLOWSCHEMA or _dangling(new_entry.obj) == _dangling(old.obj)
            if status_only:
                return
        self._awake.set()

    async def run(self) -> None:
        try:
            while True:
                await self._awake.wait()
                self._awake.clear()
                self._control.classifier = self._configuration.classifier()
                try:
                    await self.ensure()
                    await self._mark()
                except ApiError as error:
                    log.warning("flow control objects cannot be brought up to date: %s", error)
                    await self._clock.sleep(_RETRY_S)
                    self._awake.set()
        finally:
            for stop in self._stops:
                stop()

    async def ensure(self) -> None:
        """Make the objects that belong there."""
        wanted: list[tuple[Kind[Any], str, Any, bool]] = []
        for kind, fixed, suggested in (
            (PRIORITYLEVELCONFIGURATION, mandatory.priority_levels(), suggested_levels()),
            (FLOWSCHEMA, mandatory.flow_schemas(), suggested_schemas()),
        ):
            wanted += [(kind, name, spec, True) for name, spec in fixed.items()]
            wanted += [(kind, name, spec, False) for name, spec in suggested.items()]
        async with asyncio.TaskGroup() as group:
            for kind, name, spec, must in wanted:
                entry = self._registry.cache_of(kind).get("", name)
                if entry is None:
                    group.create_task(self._create(kind, name, spec))
                elif entry.obj.spec != spec and (must or _is_ours(entry.obj)):
                    if name == "exempt" and kind == PRIORITYLEVELCONFIGURATION:
                        continue  # its share may be changed, and nothing else can be
                    group.create_task(self._update(kind, name, spec))

    async def _create(self, kind: Kind[Any], name: str, spec: Any) -> None:
        obj = new(kind, name, spec=copy_of(spec))
        obj.metadata.annotations = {AUTO_UPDATE: "true"}
        try:
            await self._registry.create(kind, "", obj, _OPTIONS)
        except AlreadyExists:
            return

    async def _update(self, kind: Kind[Any], name: str, spec: Any) -> None:
        def changed(current: Any) -> Any:
            obj = copy_of(current)
            obj.spec = copy_of(spec)
            return obj

        await self._registry.update(kind, "", name, changed, _OPTIONS)

    async def _mark(self) -> None:
        """Write `Dangling` where it is not so."""
        async with asyncio.TaskGroup() as group:
            for entry in self._schemas.entries():
                condition = self._condition(entry.obj)
                if _dangling(entry.obj) != condition:
                    group.create_task(self._write(entry, condition))

    def _condition(self, schema: Any) -> tuple[str, str, str]:
        level = schema.spec.priority_level_configuration.name
        known = level in mandatory.priority_levels() or self._levels.get("", level) is not None
        text = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" '
        if known:
            return "False", "Found", text + "and it exists"
        return "True", "NotFound", text + "but there is no such object"

    async def _write(self, entry: Entry, wanted: tuple[str, str, str]) -> None:
        now = rfc3339(self._clock.now())
        status, reason, message = wanted

        def changed(current: Any) -> Any:
            obj = copy_of(current)
            others = [c for c in obj.status.conditions if c.type != "Dangling"]
            made = FlowSchemaCondition(
                type="Dangling", status=status, reason=reason, message=message, last_transition_time=now
            )
            obj.status.conditions = [*others, made]
            return obj

        try:
            await self._registry.update(FLOWSCHEMA, "", entry.name, changed, _STATUS)
        except ApiError as error:
            log.info("FlowSchema %s: its status cannot be written: %s", entry.name, error)


def _dangling(schema: Any) -> tuple[str, str, str] | None:
    for condition in schema.status.conditions:
        if condition.type == "Dangling":
            return condition.status, condition.reason, condition.message
    return None


def _is_ours(obj: Any) -> bool:
    """The annotation decides; without one, an object that was never changed by others is ours."""
    stated = obj.metadata.annotations.get(AUTO_UPDATE)
    return bool(stated == "true" if stated in ("true", "false") else obj.metadata.generation == 1)
