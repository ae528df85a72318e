"""What the scheduler writes through the API: bindings, conditions, nominations, the end of victims.

Source: pkg/scheduler/schedule_one.go (bind, handleSchedulingFailure), framework/preemption/executor.go.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from tiphys.api.errors import ApiError, NotFound
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.pod.facts import condition
from tiphys.api.kinds.core.pod.schema import Binding, Pod
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.types import ObjectMeta, Status
from tiphys.base.clock import Clock, rfc3339
from tiphys.client.interface import Client

log = logging.getLogger(__name__)

NOTE_MAX = 1024
"""The longest event message the API takes."""
UNSCHEDULABLE, SCHEDULER_ERROR = "Unschedulable", "SchedulerError"
FAILURES = (ApiError, OSError, TimeoutError)


class Writes:
    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock

    async def bind(self, pod: Pod, node: str) -> None:
        """Raises what the API raises."""
        meta = pod.metadata
        body = Binding(
            kind="Binding",
            api_version="v1",
            metadata=ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid),
            target=ObjectReference(kind="Node", name=node),
        )
        await self._client.create_subresource(POD, meta.name, meta.namespace, "binding", body, Status)

    async def status(self, pod: Pod, patch: dict[str, Any]) -> bool:
        """Patch the pod's status; whether that worked. A pod that is gone needs none."""
        meta = pod.metadata
        try:
            await self._client.patch(
                POD, meta.name, patch, meta.namespace, patch_type="strategic", subresource="status"
            )
        except NotFound:
            return True  # deleted meanwhile: no one is left to be told
        except FAILURES as error:
            log.warning("pod %s/%s: its status could not be written: %s", meta.namespace, meta.name, error)
            return False
        return True

    async def evict(self, victim: Pod, scheduler: str) -> bool:
        """Tell a pod why it has to leave, and delete it. Whether it leaves."""
        meta = victim.metadata
        patch = target_patch(victim, scheduler, rfc3339(self._clock.now()))
        if patch is not None and not await self.status(victim, patch):
            return False
        try:
            await self._client.delete(POD, meta.name, meta.namespace, uid=meta.uid)
        except NotFound:
            return True
        except FAILURES as error:
            log.warning("pod %s/%s: could not be preempted: %s", meta.namespace, meta.name, error)
            return False
        return True

    async def evict_all(self, victims: list[Pod], scheduler: str) -> bool:
        """All side by side; whether all leave."""
        return all(await asyncio.gather(*(self.evict(victim, scheduler) for victim in victims)))


def truncated(message: str) -> str:
    """The message cut to what an event may hold."""
    return message if len(message) <= NOTE_MAX else message[: NOTE_MAX - 4] + " ..."


def failure_patch(pod: Pod, reason: str, message: str, now: str, nominated: str | None = None) -> dict[str, Any] | None:
    """The status patch that says why `pod` has no node, and where room is kept for it (None: as before; empty: nowhere
    any more). None when it says so already."""
    status: dict[str, Any] = {}
    told = _condition(pod, "PodScheduled", "False", reason, message, now)
    if told is not None:
        status["conditions"] = [told]
    if nominated is not None and nominated != pod.status.nominated_node_name:
        status["nominatedNodeName"] = nominated or None
    return {"metadata": {"uid": pod.metadata.uid}, "status": status} if status else None


def target_patch(victim: Pod, scheduler: str, now: str) -> dict[str, Any] | None:
    """The status patch that tells a pod that it is preempted; None when it was told."""
    message = f"{scheduler}: preempting to accommodate a higher priority pod"
    told = _condition(victim, "DisruptionTarget", "True", "PreemptionByScheduler", message, now)
    return None if told is None else {"metadata": {"uid": victim.metadata.uid}, "status": {"conditions": [told]}}


def _condition(pod: Pod, type_: str, status: str, reason: str, message: str, now: str) -> dict[str, Any] | None:
    old = condition(pod, type_)
    if old is not None and (old.status, old.reason, old.message) == (status, reason, message):
        return None
    unchanged = old is not None and old.status == status
    told: dict[str, Any] = {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": old.last_transition_time if old is not None and unchanged else now,
    }
    if pod.metadata.generation:
        told["observedGeneration"] = pod.metadata.generation
    return told
