"""Carries out a pod's plan for its volumes, and waits until the volume controller has bound them.

Source: BindPodVolumes in pkg/scheduler/framework/plugins/volumebinding/binder.go.
"""

from __future__ import annotations

import asyncio
from typing import Any

from tiphys.api.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM
from tiphys.api.kinds.core.persistentvolume import PersistentVolume
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.base.clock import Clock
from tiphys.client.interface import Client
from tiphys.scheduler.engine import Engine
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.prebinding import PreBindingFailed
from tiphys.scheduler.volumes.index import SELECTED_NODE, Plan, is_bound, key_of
from tiphys.scheduler.volumes.matching import reaches

BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
_LOOK_AGAIN_S = 1.0


class VolumeBinder:
    """A step before binding. Limits: gives up on a pod after `timeout_s`."""

    def __init__(self, client: Client, clock: Clock, engine: Engine, timeout_s: float) -> None:
        self._client, self._clock, self._engine = client, clock, engine
        self._timeout_s = timeout_s
        self._index = engine.table.volumes

    async def prepare(self, pod: PodRecord, node: str) -> None:
        plan = self._index.plans.get(pod.uid)
        if plan is None or not plan:
            return
        await self._write(plan)
        end_s = self._clock.monotonic() + self._timeout_s
        while not self._done(pod, plan):
            if self._clock.monotonic() >= end_s:
                raise PreBindingFailed("binding volumes: timed out waiting for the condition")
            await self._clock.sleep(_LOOK_AGAIN_S)

    def withdraw(self, pod: PodRecord) -> None:
        self._index.forget(pod.uid)

    async def _write(self, plan: Plan) -> None:
        calls = [self._bind(volume, claim) for volume, claim in plan.bind]
        calls += [self._select(claim, plan.node) for claim in plan.provision]
        await asyncio.gather(*calls)

    async def _bind(self, volume: PersistentVolume, claim: PersistentVolumeClaim) -> None:
        meta = claim.metadata
        reference = {
            "kind": "PersistentVolumeClaim",
            "apiVersion": "v1",
            "namespace": meta.namespace,
            "name": meta.name,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
        }
        change: dict[str, Any] = {
            "metadata": {"resourceVersion": volume.metadata.resource_version},
            "spec": {"claimRef": reference},
        }
        if volume.spec.claim_ref is None:
            change["metadata"]["annotations"] = {BOUND_BY_CONTROLLER: "yes"}
        await self._client.patch(PERSISTENTVOLUME, volume.metadata.name, change)

    async def _select(self, claim: PersistentVolumeClaim, node: str) -> None:
        meta = claim.metadata
        if meta.annotations.get(SELECTED_NODE) == node:
            return
        change = {"metadata": {"resourceVersion": meta.resource_version, "annotations": {SELECTED_NODE: node}}}
        await self._client.patch(PERSISTENTVOLUMECLAIM, meta.name, change, meta.namespace)

    def _done(self, pod: PodRecord, plan: Plan) -> bool:
        """Whether all claims are bound. Raises PreBindingFailed when they will not be."""
        if pod.uid not in self._engine.table.assumed:
            raise PreBindingFailed("pod does not exist any more")
        row = self._engine.table.rows.get(plan.node)
        if row is None:
            raise PreBindingFailed(f'failed to get node "{plan.node}"')
        claims = [*(claim for _, claim in plan.bind), *plan.provision]
        return all(self._is_bound(claim, plan, row) for claim in claims)

    def _is_bound(self, claim: PersistentVolumeClaim, plan: Plan, row: int) -> bool:
        name = claim.metadata.name
        newest = self._index.claims.get(key_of(claim))
        if newest is None:
            raise PreBindingFailed(f'persistentvolumeclaim "{name}" not found')
        seen = newest.metadata.resource_version != claim.metadata.resource_version
        if claim in plan.provision and seen and newest.metadata.annotations.get(SELECTED_NODE) != plan.node:
            raise PreBindingFailed(f'provisioning failed for PVC "{name}"')
        volume = self._index.volumes.get(newest.spec.volume_name)
        if volume is not None and not reaches(self._engine.table, volume, row):
            raise PreBindingFailed(f'pv "{volume.metadata.name}" node affinity doesn\'t match node "{plan.node}"')
        return is_bound(newest)
