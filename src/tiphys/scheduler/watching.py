"""What the scheduler watches, and which part of the engine hears of it.

Nodes, pods and namespaces must be known before the first decision; so must the rest that is there, but a server that
does not serve a kind, or does not let us see it, holds nobody up for longer than `OPTIONAL_WAIT_S`.

Source: pkg/scheduler/eventhandlers.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from tiphys.api.errors import ApiError
from tiphys.api.kind import Kind
from tiphys.api.kinds import NAMESPACE, NODE, POD, PODDISRUPTIONBUDGET, PODGROUP
from tiphys.api.kinds.core.namespace import Namespace
from tiphys.api.kinds.policy.poddisruptionbudget import PodDisruptionBudget
from tiphys.api.kinds.scheduling.podgroup import PodGroup
from tiphys.api.labels import NOTHING, selector_of
from tiphys.client.interface import Client, EventType, Informer
from tiphys.scheduler.budgets import Budget
from tiphys.scheduler.devices.watching import device_handlers
from tiphys.scheduler.engine import Engine
from tiphys.scheduler.volumes.watching import volume_handlers

log = logging.getLogger(__name__)

OPTIONAL_WAIT_S = 5.0
Handler = Callable[[EventType, Any, Any], None]
_NEEDED = (NODE, POD, NAMESPACE)
_SOMETIMES = (PODGROUP,)
"""Alpha: most servers do not serve it, and an informer would ask again and again."""


def handlers(engine: Engine) -> Iterator[tuple[Kind[Any], Handler]]:
    """What to do with changes of each kind. Pods come last: what they refer to is known then."""
    yield NODE, engine.on_node
    yield NAMESPACE, _namespace(engine)
    yield PODDISRUPTIONBUDGET, _budget(engine)
    yield PODGROUP, _group(engine)
    yield from volume_handlers(engine)
    yield from device_handlers(engine)
    yield POD, engine.on_pod


async def watch(client: Client, engine: Engine, changed: Callable[[], None], stack: contextlib.AsyncExitStack) -> None:
    """Subscribe everything; `changed` is called after each event. Returns when all that is needed is known."""
    informers: list[tuple[Informer[Any], Handler]] = []
    for kind, handle in handlers(engine):
        try:
            if kind in _SOMETIMES:
                await client.list(kind, limit=1)
            informers.append((client.informer(kind), handle))
        except ApiError as error:
            if kind in _NEEDED:
                raise
            # That there are no PodGroups is how it usually is.
            level = logging.DEBUG if kind in _SOMETIMES else logging.INFO
            log.log(level, "scheduling without %s: %s", kind.plural, error)
    needed = [informer for informer, _ in informers if informer.kind in _NEEDED]
    others = [informer for informer, _ in informers if informer.kind not in _NEEDED]
    for informer in needed:
        await informer.wait_synced()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(OPTIONAL_WAIT_S):
            for informer in others:
                await informer.wait_synced()
    for informer, handle in informers:
        stack.callback(informer.subscribe(_then(handle, changed)))
    engine.gangs.known = any(informer.kind is PODGROUP and informer.synced for informer in others)


def _then(handle: Handler, changed: Callable[[], None]) -> Handler:
    def handled(type_: EventType, old: Any, new: Any) -> None:
        handle(type_, old, new)
        changed()

    return handled


def _namespace(engine: Engine) -> Handler:
    def handle(_type: EventType, old: Namespace | None, new: Namespace | None) -> None:
        if new is not None:
            engine.on_namespace(new.metadata.name, new.metadata.labels)
        elif old is not None:
            engine.on_namespace(old.metadata.name, None)

    return handle


def _budget(engine: Engine) -> Handler:
    def handle(_type: EventType, old: PodDisruptionBudget | None, new: PodDisruptionBudget | None) -> None:
        obj = new or old
        if obj is not None:
            engine.budgets.set(obj.metadata.name, obj.metadata.namespace, None if new is None else budget_of(new))

    return handle


def budget_of(obj: PodDisruptionBudget) -> Budget:
    try:
        selector = selector_of(obj.spec.selector)
    except ValueError:  # it matches nothing, as upstream
        selector = NOTHING
    return Budget(
        namespace=obj.metadata.namespace,
        selector=selector,
        allowed=obj.status.disruptions_allowed,
        disrupted=frozenset(obj.status.disrupted_pods),
    )


def _group(engine: Engine) -> Handler:
    def handle(_type: EventType, old: PodGroup | None, new: PodGroup | None) -> None:
        obj = new or old
        if obj is None:
            return
        gang = obj.spec.scheduling_policy.gang
        minimum = None if new is None else gang.min_count if gang is not None else 0
        engine.gangs.known = True
        engine.on_group(obj.metadata.namespace, obj.metadata.name, minimum)

    return handle
