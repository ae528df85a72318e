"""Writes pod statuses to the API: only changes, only the newest, one request at a time per pod.

Source: pkg/kubelet/status/status_manager.go.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from tiphys.api.codec import to_json
from tiphys.api.errors import ApiError, NotFound
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import PodStatus
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.base.tasks import TaskSet
from tiphys.client.interface import Client
from tiphys.kubelet.static.source import SOURCE
from tiphys.kubelet.status import KUBELET_CONDITIONS

_log = logging.getLogger(__name__)

_RETRY = Backoff(first_s=0.1, cap_s=10.0, jitter=0.2)
_PARALLEL = 16
_REPLACED_LISTS = {"podIPs": "ip"}


class _Entry:
    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.wanted: PodStatus | None = None
        self.served: PodStatus = pod.status
        """What the API has, as far as is known."""
        self.version = 0
        """The resourceVersion of what was written last."""
        self.idle = asyncio.Event()
        self.idle.set()
        self.gone = False
        self.target = pod.metadata.uid
        """The UID that the pod has in the API; empty: a static pod whose mirror is not there."""
        self.newest: PodStatus | None = None


class StatusWriter:
    """The statuses of the node's pods on their way to the API."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._entries: dict[str, _Entry] = {}
        self._mirrors: dict[str, Pod] = {}
        """By the UID of the static pod."""
        self._tasks = TaskSet()
        self._slots = asyncio.Semaphore(_PARALLEL)

    async def close(self) -> None:
        await self._tasks.close()

    def put(self, pod: Pod, status: PodStatus) -> None:
        """Have the API show this status soon. What was put before and not yet written is skipped."""
        entry = self._entries.get(pod.metadata.uid)
        if entry is None:
            entry = self._entries[pod.metadata.uid] = _Entry(pod)
            if SOURCE in pod.metadata.annotations:
                mirror = self._mirrors.get(pod.metadata.uid)
                entry.target, entry.served = (mirror.metadata.uid, mirror.status) if mirror else ("", pod.status)
        entry.wanted = entry.newest = status
        self._go(entry)

    def _go(self, entry: _Entry) -> None:
        if entry.idle.is_set() and not entry.gone and entry.target:
            entry.idle.clear()
            meta = entry.pod.metadata
            self._tasks.spawn(self._write(entry), f"status of {meta.namespace}/{meta.name}")

    def mirrored(self, uid: str, mirror: Pod) -> None:
        """The static pod's mirror is there: what is known of the pod is written to it."""
        self._mirrors[uid] = mirror
        if (entry := self._entries.get(uid)) is not None:
            entry.target, entry.served, entry.wanted = mirror.metadata.uid, mirror.status, entry.newest
            self._go(entry)

    def unmirrored(self, uid: str) -> None:
        """The static pod's mirror is gone; the next one will be written to."""
        self._mirrors.pop(uid, None)
        if (entry := self._entries.get(uid)) is not None:
            entry.target = ""

    def overtaken(self, pod: Pod) -> bool:
        """Whether somebody else has changed one of the kubelet's conditions since it was written.

        The node controller does, for the pods of a node that is silent. The next status that is put then says so again.
        """
        entry = self._entries.get(pod.metadata.uid)
        if entry is None or entry.newest is None or not entry.idle.is_set():
            return False
        if int(pod.metadata.resource_version or 0) <= entry.version:
            return False  # from before our own write
        shown = {condition.type: condition.status for condition in pod.status.conditions}
        ours = [condition for condition in entry.newest.conditions if condition.type in KUBELET_CONDITIONS]
        if all(shown.get(condition.type) == condition.status for condition in ours):
            return False
        entry.served = pod.status
        return True

    async def flush(self, uid: str) -> bool:
        """Wait until the newest status of the pod is written; whether the pod still exists."""
        entry = self._entries.get(uid)
        if entry is None:
            return True
        await entry.idle.wait()
        return not entry.gone

    def forget(self, uid: str) -> None:
        """The pod is gone from the API: nothing more is written for it."""
        entry = self._entries.pop(uid, None)
        if entry is not None:
            entry.gone = True

    async def _write(self, entry: _Entry) -> None:
        failures = 0
        try:
            while not entry.gone and entry.target and (wanted := entry.wanted) is not None:
                patch = status_patch(entry.served, wanted)
                if not patch:
                    entry.wanted = None
                    continue
                meta = entry.pod.metadata
                body = {"metadata": {"uid": entry.target}, "status": patch}
                try:
                    async with self._slots:
                        answer = await self._client.patch(
                            POD, meta.name, body, meta.namespace, patch_type="strategic", subresource="status"
                        )
                except NotFound:
                    self._lost(entry)
                    return
                except ApiError as error:
                    if error.code in (409, 422) and "uid" in error.message.lower():
                        self._lost(entry)  # another pod has the name by now
                        return
                    failures += 1
                    _log.warning("pod %s/%s: status not written: %s", meta.namespace, meta.name, error)
                    await self._clock.sleep(_RETRY.delay_s(failures))
                    continue
                failures = 0
                entry.served, entry.version = answer.status, int(answer.metadata.resource_version or 0)
                if entry.wanted is wanted:
                    entry.wanted = None
        finally:
            entry.idle.set()

    @staticmethod
    def _lost(entry: _Entry) -> None:
        if SOURCE in entry.pod.metadata.annotations:
            entry.target = ""  # until there is another mirror
        else:
            entry.gone = True


def status_patch(old: PodStatus, new: PodStatus) -> dict[str, Any]:
    """The strategic merge patch from one status to the other; empty: nothing to do.

    Conditions merge by type, so those of others stay; other lists are sent whole.
    """
    before, after = to_json(old), to_json(new)
    patch: dict[str, Any] = {}
    for key in before.keys() | after.keys():
        if key == "conditions" or before.get(key) == after.get(key):
            continue
        patch[key] = _merging(before.get(key), after.get(key))
        if key in _REPLACED_LISTS and patch[key] is not None:
            patch[key] = [*patch[key], {"$patch": "replace"}]
    known = {condition["type"]: condition for condition in before.get("conditions", [])}
    changed = [c for c in after.get("conditions", []) if known.get(c["type"]) != c]
    gone = known.keys() & set(KUBELET_CONDITIONS) - {condition["type"] for condition in after.get("conditions", [])}
    if changed or gone:
        # A field that is gone must be nulled, and so must a condition of ours: merging alone would keep it.
        patch["conditions"] = [
            *({**{key: None for key in known.get(c["type"], {}) if key not in c}, **c} for c in changed),
            *({"type": name, "$patch": "delete"} for name in sorted(gone)),
        ]
    return patch


def _merging(before: Any, after: Any) -> Any:
    """What makes `after` of `before` when merged: of a map, keys that are gone are nulled."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    gone: dict[str, Any] = {key: None for key in before if key not in after}
    return gone | {key: _merging(before.get(key), value) for key, value in after.items()}
