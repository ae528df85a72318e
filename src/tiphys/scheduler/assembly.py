"""Puts the component together: engine, informers, extenders, what follows from decisions. Imports numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from tiphys.api.kinds import POD, REPLICASET, REPLICATIONCONTROLLER, SERVICE, STATEFULSET
from tiphys.api.meta.types import LabelSelector
from tiphys.base.clock import Clock
from tiphys.client.events import Recorder
from tiphys.client.interface import Client
from tiphys.scheduler import thirdparty
from tiphys.scheduler.devices.reserving import Reserving
from tiphys.scheduler.engine import Engine
from tiphys.scheduler.extenders.consulting import Extenders
from tiphys.scheduler.following import Following
from tiphys.scheduler.metrics import SchedulerMetrics
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.prebinding import PreBinding
from tiphys.scheduler.profile import build
from tiphys.scheduler.settings import SchedulerSettings
from tiphys.scheduler.spreading import DefaultGroups, SelectorOf
from tiphys.scheduler.volumes.binder import VolumeBinder
from tiphys.scheduler.watching import watch
from tiphys.scheduler.writes import Writes


async def assemble(
    client: Client,
    clock: Clock,
    settings: SchedulerSettings,
    metrics: SchedulerMetrics,
    recorders: Mapping[str, Recorder],
    changed: Callable[[], None],
    stack: AsyncExitStack,
) -> tuple[Engine, Following]:
    """Everything, with the engine knowing the cluster as it is. `changed` is called after each event from then on;
    `stack` closes what was opened."""
    asking: list[Extenders] = []

    def interested(pod: PodRecord) -> bool:
        return asking[0].interested(pod)

    def preempt_interested(pod: PodRecord) -> bool:
        return asking[0].preempt_interested(pod)

    engine = Engine(
        clock,
        settings,
        profiles=[build(profile, thirdparty.builders(settings.plugin_timeout_s)) for profile in settings.profiles],
        group_of=_default_groups(client, stack).of,
        interested=interested if settings.extenders else None,
        preempt_interested=preempt_interested if settings.extenders else None,
    )
    metrics.show_queue(engine)
    extenders = Extenders(settings.extenders, engine.table)
    asking.append(extenders)
    stack.push_async_callback(extenders.close)
    following = Following(
        engine,
        client.informer(POD),
        Writes(client, clock),
        recorders,
        metrics,
        clock,
        extenders,
        PreBinding(
            VolumeBinder(client, clock, engine, _volumes_timeout_s(settings)), Reserving(client, engine.table.devices)
        ),
    )
    await watch(client, engine, changed, stack)
    return engine, following


def _volumes_timeout_s(settings: SchedulerSettings) -> float:
    """The longest that any profile allows."""
    stated = [profile.args.get("VolumeBinding") for profile in settings.profiles]
    return max(600.0 if args is None else float(args.bind_timeout_seconds) for args in stated)


def _default_groups(client: Client, stack: AsyncExitStack) -> DefaultGroups:
    services = client.informer(SERVICE)
    replicasets, statefulsets = client.informer(REPLICASET), client.informer(STATEFULSET)
    controllers = client.informer(REPLICATIONCONTROLLER)

    def of_replicaset(namespace: str, name: str) -> LabelSelector | None:
        found = replicasets.get(name, namespace)
        return None if found is None else found.spec.selector

    def of_statefulset(namespace: str, name: str) -> LabelSelector | None:
        found = statefulsets.get(name, namespace)
        return None if found is None else found.spec.selector

    def of_controller(namespace: str, name: str) -> LabelSelector | None:
        found = controllers.get(name, namespace)
        return None if found is None else LabelSelector(match_labels=found.spec.selector)

    owners: dict[tuple[str, str], SelectorOf] = {
        ("apps/v1", "ReplicaSet"): of_replicaset,
        ("apps/v1", "StatefulSet"): of_statefulset,
        ("v1", "ReplicationController"): of_controller,
    }
    groups = DefaultGroups(services, owners)
    stack.callback(services.subscribe(groups.on_service))
    return groups
