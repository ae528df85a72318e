"""Keeps the scale of a workload such that its metrics stay near their targets.

Woken by: autoscalers when their spec changes; every 15 s. Writes: the target's scale; the autoscaler's status.
Reads live, because nobody has copies: the target's scale and the metrics APIs (`_metrics_client.py`).
Races: the scale is written with the resource version it was read at. A metric that cannot be read never scales down.
Each look decides on what it has just read; only recommendations and changes of the last minutes are remembered.
Source: pkg/controller/podautoscaler/horizontal.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tiphys.api.errors import ApiError
from tiphys.api.kinds import HORIZONTALPODAUTOSCALER, POD
from tiphys.api.kinds.autoscaling.horizontalpodautoscaler_schema import (
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerStatus,
    MetricStatus,
)
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import rfc3339
from tiphys.base.selectors import LabelSelector
from tiphys.client.interface import Client
from tiphys.controllers._actions import Action, Event, Remember, Report, RequeueAfter, SetScale, UpdateStatus
from tiphys.controllers._hpa_limits import Past, limited, limited_by_rules
from tiphys.controllers._hpa_measures import METRICS, measure
from tiphys.controllers._hpa_metrics import MetricError, propose, remove_condition, set_condition, tolerance_of
from tiphys.controllers._metrics_client import Readings, Scale, read_metrics, read_scale
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch

PERIOD_S = 15.0


@dataclass(frozen=True)
class World:
    autoscaler: HorizontalPodAutoscaler
    pods: tuple[Pod, ...]
    """Of its namespace."""
    past: Past
    others: Mapping[str, str]
    """Selectors of the targets of other autoscalers of the namespace, by name."""
    now: datetime
    scale: Scale | str = ""
    """As just read; or why it cannot be."""
    readings: tuple[Readings, ...] = ()


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    autoscaler = listers.get(HORIZONTALPODAUTOSCALER, key.name, key.namespace)
    if autoscaler is None:
        return None
    others = {}
    for each in listers.list(HORIZONTALPODAUTOSCALER, key.namespace):
        known = listers.remembered(Key(key.namespace, each.metadata.name))
        if each is not autoscaler and known is not None:
            others[each.metadata.name] = known.selector
    pods = tuple(listers.list(POD, key.namespace))
    return World(autoscaler, pods, listers.remembered(key) or Past(), others, now)


async def observe(client: Client, key: Key, world: World) -> World:
    spec = world.autoscaler.spec
    scale = await read_scale(client, spec.scale_target_ref, key.namespace)
    if isinstance(scale, str) or not scale.selector or scale.replicas == 0:
        return replace(world, scale=scale)
    readings = await read_metrics(client, spec.metrics, key.namespace, scale.selector)
    return replace(world, scale=scale, readings=readings)


def plan(_key: Key, world: World) -> Sequence[Action]:
    return [*_Draft(world).actions(), RequeueAfter(PERIOD_S)]


class _Draft:
    """The autoscaler's status as this look finds it, and what else is to be done."""

    def __init__(self, world: World) -> None:
        self._world, self._spec, self._now = world, world.autoscaler.spec, world.now
        self._status = copy_of(world.autoscaler.status)
        self._events: list[Action] = []
        self._past = world.past
        self._current_metrics: list[MetricStatus] = []

    def actions(self) -> list[Action]:
        scale = self._world.scale
        if isinstance(scale, str):
            self._warn("FailedGetScale", scale)
            text = f"the HPA controller was unable to get the target's current scale: {scale}"
            self._condition("AbleToScale", False, "FailedGetScale", text)
            return [*self._writes(), *self._events]
        text = "the HPA controller was able to get the target's current scale"
        self._condition("AbleToScale", True, "SucceededGetScale", text)
        self._past = replace(self._past, selector=scale.selector)
        if not self._past.recommendations:
            self._past = self._past.recommended(scale.replicas, self._now, 0)
        try:
            desired, why = self._desired(scale)
        except MetricError as error:
            self._note(scale.replicas, self._status.desired_replicas)
            self._warn("FailedComputeMetricsReplicas", str(error))
            return [*self._writes(), *self._events, Remember(self._past)]
        return self._rescaled(scale, desired, why)

    # --- how many

    def _desired(self, scale: Scale) -> tuple[int, str]:
        """The count, and why it is another one. Raises MetricError where no metric tells enough."""
        spec, current = self._spec, scale.replicas
        low = 1 if spec.min_replicas is None else spec.min_replicas
        if current == 0:
            text = "scaling is disabled since the replica count of the target is zero"
            self._condition("ScalingActive", False, "ScalingDisabled", text)
            remove_condition(self._status, "ScaledToZero")
            return 0, ""
        if current > spec.max_replicas:
            return spec.max_replicas, "Current number of replicas above Spec.MaxReplicas"
        if current < low:
            return low, "Current number of replicas below Spec.MinReplicas"
        proposed, metric = self._proposed(scale)
        why = f"{metric} above target" if proposed > current else "All metrics below target"
        if spec.behavior is None:
            verdict, self._past = limited(self._past, current, proposed, low, spec.max_replicas, self._now)
        else:
            verdict, self._past = limited_by_rules(
                self._past, spec.behavior, current, proposed, low, spec.max_replicas, self._now
            )
        self._condition("AbleToScale", True, *verdict.able)
        self._condition("ScalingLimited", *verdict.limited)
        return verdict.replicas, why

    def _proposed(self, scale: Scale) -> tuple[int, str]:
        """The most that a metric asks for, and which. One that cannot be read forbids scaling down."""
        selector = self._selector(scale)
        pods = [pod for pod in self._world.pods if selector.matches(pod.metadata.labels)]
        self._refuse_rivals(scale, pods)
        best, name = 0, ""
        failures: list[MetricError] = []
        for spec, readings in zip(self._spec.metrics, self._world.readings, strict=False):
            status = MetricStatus()
            try:
                count, metric = propose(
                    spec, readings, scale, pods, tolerance_of(self._spec.behavior), self._now, status
                )
            except MetricError as error:
                self._warn(error.reason, error.detail)
                failures.append(error)
            else:
                if best == 0 or count > best:
                    best, name = count, metric
            self._current_metrics.append(status)
        if failures and (len(failures) >= len(self._spec.metrics) or best < scale.replicas):
            first = failures[0]
            text = f"the HPA was unable to compute the replica count: {first.detail}"
            self._condition("ScalingActive", False, first.reason, text)
            raise MetricError(
                first.reason,
                f"invalid metrics ({len(failures)} invalid out of {len(self._spec.metrics)}), first error is: {first}",
            )
        text = f"the HPA was able to successfully calculate a replica count from {name}"
        self._condition("ScalingActive", True, "ValidMetricFound", text)
        return best, name

    def _selector(self, scale: Scale) -> LabelSelector:
        if not scale.selector:
            self._warn("SelectorRequired", "selector is required")
            text = "the HPA target's scale is missing a selector"
            self._condition("ScalingActive", False, "InvalidSelector", text)
            raise MetricError("InvalidSelector", "selector is required")
        try:
            return LabelSelector.parse(scale.selector)
        except ValueError as error:
            text = f"couldn't convert selector into a corresponding internal selector object: {error}"
            self._warn("InvalidSelector", text)
            self._condition("ScalingActive", False, "InvalidSelector", text)
            raise MetricError("InvalidSelector", text) from None

    def _refuse_rivals(self, scale: Scale, pods: Iterable[Pod]) -> None:
        """Two autoscalers of the same pods would fight."""
        labels = [pod.metadata.labels for pod in pods]
        meta = self._world.autoscaler.metadata
        rivals = sorted(
            name
            for name, text in self._world.others.items()
            if text and any(LabelSelector.parse(text).matches(each) for each in labels)
        )
        if not rivals:
            return
        names = " ".join(f"{meta.namespace}/{name}" for name in sorted([meta.name, *rivals]))
        text = f"pods by selector {scale.selector} are controlled by multiple HPAs: [{names}]"
        self._warn("AmbiguousSelector", text)
        self._condition("ScalingActive", False, "AmbiguousSelector", text)
        raise MetricError("AmbiguousSelector", text)

    # --- what is done

    def _rescaled(self, scale: Scale, desired: int, why: str) -> list[Action]:
        current = scale.replicas
        if desired == current:
            self._note(current, desired)
            return [*self._writes(), *self._events, Remember(self._past)]
        failed = WhenFailing(self._world.autoscaler, self._failed_status(scale), self._now)
        body = {**scale.body, "spec": {**scale.body.get("spec", {}), "replicas": desired}}
        size = f"New size: {desired}; reason: {why}"
        report = Report(self._world.autoscaler, "SuccessfulRescale", size, "FailedRescale", f"{size}; error: {{error}}")
        text = f"the HPA controller was able to update the target scale to {desired}"
        self._condition("AbleToScale", True, "SucceededRescale", text)
        remove_condition(self._status, "ScaledToZero")
        self._note(current, desired)
        self._status.last_scale_time = rfc3339(self._now)
        past = self._past.scaled(current, desired, self._now, self._spec.behavior)
        return [
            *self._events,
            SetScale(scale.path, body, report, failed),
            Remember(past),
            *self._writes(),
        ]

    def _failed_status(self, scale: Scale) -> HorizontalPodAutoscalerStatus:
        status = copy_of(self._status)
        status.current_replicas, status.current_metrics = scale.replicas, list(self._current_metrics)
        return status

    def _note(self, current: int, desired: int) -> None:
        self._status.current_replicas, self._status.desired_replicas = current, desired
        self._status.current_metrics = list(self._current_metrics)

    def _writes(self) -> list[Action]:
        return _status_update(self._world.autoscaler, self._status)

    def _warn(self, reason: str, message: str) -> None:
        self._events.append(Event(self._world.autoscaler, "Warning", reason, message))

    def _condition(self, kind: str, status: bool, reason: str, message: str) -> None:
        set_condition(self._status, kind, status, reason, message, self._now)


@dataclass(frozen=True)
class WhenFailing:
    """Shows in the status that the target could not be scaled."""

    autoscaler: HorizontalPodAutoscaler
    status: HorizontalPodAutoscalerStatus
    now: datetime

    def __call__(self, error: ApiError) -> Sequence[Action]:
        status = copy_of(self.status)
        text = f"the HPA controller was unable to update the target scale: {error.message}"
        set_condition(status, "AbleToScale", False, "FailedUpdateScale", text, self.now)
        return _status_update(self.autoscaler, status)


def _status_update(autoscaler: HorizontalPodAutoscaler, status: HorizontalPodAutoscalerStatus) -> list[Action]:
    if status == autoscaler.status:
        return []
    changed = copy_of(autoscaler)
    changed.status = status
    return [UpdateStatus(HORIZONTALPODAUTOSCALER, changed)]


def _spec_changed(old: HorizontalPodAutoscaler | None, new: HorizontalPodAutoscaler | None) -> bool:
    return old is None or new is None or old.spec != new.spec


SPEC = ControllerSpec(
    name="horizontal-pod-autoscaler-controller",
    alias="horizontalpodautoscaling",
    component="horizontal-pod-autoscaler",
    primary=HORIZONTALPODAUTOSCALER,
    read=read,
    observe=observe,
    plan=plan,
    watches=(Watch(HORIZONTALPODAUTOSCALER, when=_spec_changed),),
    reads=(POD,),
    workers=5,
    metrics=METRICS,
    measure=measure,
)
