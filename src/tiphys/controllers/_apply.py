"""Carries out plans: the only place where controllers write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterator, MutableMapping, Sequence
from functools import partial
from typing import Any

from tiphys.api import codec
from tiphys.api.errors import AlreadyExists, ApiError, Conflict, Forbidden, NotFound
from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.client.events import Recorder
from tiphys.client.interface import Client
from tiphys.controllers._actions import (
    Action,
    Alive,
    Create,
    Delete,
    DeleteCollection,
    Empty,
    Event,
    Gone,
    Guard,
    Patch,
    Remember,
    Report,
    RequeueAfter,
    SetScale,
    Update,
    UpdateStatus,
)
from tiphys.controllers._expectations import Expectations

log = logging.getLogger(__name__)

PARALLEL_MAX = 64
"""How many requests of one plan are under way at once."""
GONE_CONFIRMED_MAX = 4096


class Stale(Exception):
    """A guard did not hold: the plan was made on an old picture. Not a failure, only a reason to plan again."""


class Applier:
    """Applies the plans of one controller."""

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        expectations: Expectations,
        memory: MutableMapping[Hashable, Any] | None = None,
    ) -> None:
        """`memory`: where `Remember` puts values, by key."""
        self._client, self._recorder, self._expectations = client, recorder, expectations
        self._memory = memory if memory is not None else {}
        # A UID never comes back, so one live look serves all dependents of the same lost owner.
        self._gone: dict[str, None] = {}

    async def apply(self, key: Hashable, actions: Sequence[Action]) -> float | None:
        """Does `actions` in order; returns the shortest delay asked for, in seconds, or None.

        Neighbours of one type are done together, but for updates. Raises the first failure (ApiError, or Stale) and
        leaves out what follows those that it happened among. Cancelled in the middle, it leaves
        the actions before done and those after not done; planning again continues.
        """
        delay_s: float | None = None
        for group in _grouped(actions):
            match group[0]:
                case RequeueAfter():
                    wanted_s = [action.delay_s for action in group if isinstance(action, RequeueAfter)]
                    delay_s = min(wanted_s if delay_s is None else [*wanted_s, delay_s])
                case Event(on=on, type=kind, reason=reason, message=message):
                    self._recorder.event(on, kind, reason, message)
                case Remember(value=value):
                    self._memory[key] = value
                case Create():
                    await self._create_all(key, [action for action in group if isinstance(action, Create)])
                case first:
                    try:
                        await _together([partial(self._one, key, action) for action in group])
                    except ApiError as error:
                        await self._recover(key, first, error)
                        raise
        return delay_s

    async def _recover(self, key: Hashable, failed: Action, error: ApiError) -> None:
        """Neighbours have the same plan for failure; that of the first is taken, once."""
        if isinstance(failed, Create | Delete | DeleteCollection | SetScale) and failed.on_failure is not None:
            await self.apply(key, failed.on_failure(error))

    async def _create_all(self, key: Hashable, creates: Sequence[Create]) -> None:
        size, start = 1, 0
        while start < len(creates):
            batch = creates[start : start + size]
            try:
                await _together([partial(self._create, key, create) for create in batch])
            except ApiError as error:
                await self._recover(key, batch[0], error)
                raise
            start += len(batch)
            size = min(size * 2, PARALLEL_MAX)

    async def _create(self, key: Hashable, action: Create) -> None:
        try:
            created = await self._client.create(action.kind, action.obj)
        except AlreadyExists:
            if not action.exists_ok:
                raise
            return
        except ApiError as error:
            if namespace_is_terminating(error):
                # All creation fails there from now on, and its deletion will take care of the rest.
                return
            self._report(action.report, action.obj.metadata.name, error)
            raise
        self._expectations.wrote(key, action.kind, created)
        self._report(action.report, created.metadata.name)

    async def _one(self, key: Hashable, action: Action) -> None:
        """One action other than those that `apply` treats itself."""
        match action:
            case Delete():
                await self._check(action.guards)
                await self._delete(key, action)
            case Patch():
                await self._check(action.guards)
                await self._patch(key, action)
            case Update():
                await self._check(action.guards)
                written = await self._reported(
                    action.report,
                    action.obj.metadata.name,
                    self._client.update(action.kind, action.obj, subresource=action.subresource),
                )
                self._expectations.wrote(key, action.kind, written)
            case UpdateStatus():
                written = await self._client.update(action.kind, action.obj, subresource="status")
                self._expectations.wrote(key, action.kind, written)
            case DeleteCollection():
                await self._client.delete_collection(action.kind, action.namespace)
            case SetScale():
                await self._set_scale(action)
            case _:
                raise TypeError(f"not an action to apply alone: {action!r}")

    async def _patch(self, key: Hashable, action: Patch) -> None:
        call = self._client.patch(
            action.kind,
            action.name,
            action.patch,
            action.namespace,
            patch_type=action.patch_type,
            subresource=action.subresource,
        )
        try:
            written = await self._reported(action.report, action.name, call)
        except (Conflict, NotFound):
            if not action.moot_ok:
                raise
            return
        self._expectations.wrote(key, action.kind, written)

    async def _set_scale(self, action: SetScale) -> None:
        try:
            await self._client.raw("PUT", action.path, body=codec.encode(action.scale))
        except ApiError as error:
            self._report(action.report, "", error)
            raise
        self._report(action.report, "")

    async def _delete(self, key: Hashable, action: Delete) -> None:
        try:
            await self._client.delete(
                action.kind,
                action.name,
                action.namespace,
                uid=action.uid,
                resource_version=action.resource_version,
                grace_period_s=action.grace_period_s,
                propagation=action.propagation,
            )
        except NotFound:
            return
        except Conflict:
            if action.resource_version:
                raise
            return  # another object has the name now: the one we meant is gone
        except ApiError as error:
            self._report(action.report, action.name, error)
            raise
        self._expectations.deleted(key, action.kind, action.name, action.namespace, action.uid)
        self._report(action.report, action.name)

    async def _reported(self, report: Report | None, name: str, work: Awaitable[Resource]) -> Resource:
        try:
            written = await work
        except Conflict:
            raise
        except ApiError as error:
            self._report(report, name, error)
            raise
        self._report(report, name)
        return written

    def _report(self, report: Report | None, name: str, error: ApiError | None = None) -> None:
        if report is None:
            return
        if error is None and report.done_reason:
            self._recorder.event(report.on, "Normal", report.done_reason, report.done.format(name=name))
        elif error is not None and report.failed_reason:
            text = report.failed.format(name=name, error=error.message)
            self._recorder.event(report.on, "Warning", report.failed_reason, text)

    # --- guards

    async def _check(self, guards: Sequence[Guard]) -> None:
        for guard in guards:
            if not await self._holds(guard):
                raise Stale(f"no longer true: {guard}")

    async def _holds(self, guard: Guard) -> bool:
        match guard:
            case Gone(kind, name, namespace, uid):
                if uid in self._gone:
                    return True
                found = await self._live(kind, name, namespace)
                if found is not None and (not uid or found.metadata.uid == uid):
                    return False
                if uid:
                    self._gone[uid] = None
                    if len(self._gone) > GONE_CONFIRMED_MAX:
                        del self._gone[next(iter(self._gone))]
                return True
            case Alive(kind, name, namespace, uid):
                found = await self._live(kind, name, namespace)
                return found is not None and found.metadata.uid == uid and found.metadata.deletion_timestamp is None
            case Empty(kinds, namespace):
                for kind in kinds:
                    if (await self._client.list(kind, namespace, limit=1)).items:
                        return False
                return True

    async def _live(self, kind: Kind[Any], name: str, namespace: str) -> Resource | None:
        try:
            found: Resource = await self._client.get(kind, name, namespace)
        except NotFound:
            return None
        return found


def namespace_is_terminating(error: ApiError) -> bool:
    """Whether a creation was refused because its namespace is being deleted."""
    return isinstance(error, Forbidden) and any(cause.reason == "NamespaceTerminating" for cause in error.causes)


def _grouped(actions: Sequence[Action]) -> Iterator[list[Action]]:
    """Neighbours that may be done together. Updates stay alone: a later one may rest on an earlier."""
    group: list[Action] = []
    for action in actions:
        alone = isinstance(action, Update | UpdateStatus | Event | Remember)
        if group and (alone or type(action) is not type(group[0])):
            yield group
            group = []
        group.append(action)
        if alone:
            yield group
            group = []
    if group:
        yield group


async def _together(calls: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Makes all calls, at most PARALLEL_MAX at a time, lets each end, then raises the first failure."""
    if len(calls) == 1:
        await calls[0]()
        return
    gate = asyncio.Semaphore(PARALLEL_MAX)

    async def one(call: Callable[[], Awaitable[None]]) -> None:
        async with gate:
            await call()

    outcomes = await asyncio.gather(*(one(call) for call in calls), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
