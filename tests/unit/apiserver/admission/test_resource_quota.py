"""Quotas at admission: what is charged, refused and taken back, and that a limit holds whatever happens at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api.errors import AlreadyExists, Conflict, Forbidden
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, NAMESPACE, POD, RESOURCEQUOTA, SERVICE
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.resourcequota import ScopedResourceSelectorRequirement, ScopeSelector
from tiphys.api.kinds.core.service import ServicePort
from tiphys.api.meta.schema import Quantity, copy_of
from tiphys.api.meta.types import DeleteOptions
from tiphys.api.quota.amounts import write_all
from tiphys.api.quota.charge import used_by
from tiphys.api.quota.evaluators import evaluator_of
from tiphys.apiserver.admission.chain import AdmissionChain
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.resource_quota import ResourceQuotaPlugin
from tiphys.apiserver.registry.interface import AdmissionRequest, WriteOptions
from tiphys.apiserver.registry.registry import open_registry
from tiphys.apiserver.request import User
from tiphys.store.embedded.store import EmbeddedStore
from tiphys.testing.clock import FakeClock

PLAIN = WriteOptions(User("admin"), field_manager="tests")


def charging(registry: Any, clock: Any) -> WriteOptions:
    return WriteOptions(User("bob"), admission=AdmissionChain([ResourceQuotaPlugin(registry, clock)]))


async def quota(
    registry: Any, name: str = "q", scopes: tuple[str, ...] = (), selector: Any = None, **hard: str
) -> None:
    """A quota whose usage has been counted: nothing."""
    made = new(RESOURCEQUOTA, name, "default")
    made.spec.hard = {key.replace("__", "/").replace("_", "."): Quantity(text) for key, text in hard.items()}
    made.spec.scopes, made.spec.scope_selector = list(scopes), selector
    await registry.create(RESOURCEQUOTA, "default", made, PLAIN)

    def counted(current: Any) -> Any:
        fresh = copy_of(current)
        fresh.status.hard = dict(fresh.spec.hard)
        fresh.status.used = write_all(dict.fromkeys(fresh.spec.hard, 0))
        return fresh

    await registry.rewrite(RESOURCEQUOTA, "default", name, counted)


def used(registry: Any, name: str = "q") -> dict[str, str]:
    return dict(registry.cache_of(RESOURCEQUOTA).get("default", name).obj.status.used)


def pod(name: str, cpu: str = "", image: str = "i", **spec: Any) -> Any:
    made = new(POD, name, "default")
    made.spec.containers = [Container(name="c", image=image)]
    if cpu:
        made.spec.containers[0].resources.requests = {"cpu": Quantity(cpu)}
    for field, value in spec.items():
        setattr(made.spec, field, value)
    return made


async def refused(registry: Any, obj: Any, opts: WriteOptions, kind: Any = POD) -> str:
    with pytest.raises(Forbidden) as error:
        await registry.create(kind, "default", obj, opts)
    return error.value.message


async def test_the_limit_and_its_words(registry, clock) -> None:
    opts = charging(registry, clock)
    await quota(registry, pods="2", requests_cpu="1")
    await registry.create(POD, "default", pod("a", "600m"), opts)
    assert used(registry) == {"pods": "1", "requests.cpu": "600m"}
    assert await refused(registry, pod("b", "500m"), opts) == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, '
        "limited: requests.cpu=1"
    )
    await registry.create(POD, "default", pod("b", "400m"), opts)
    assert await refused(registry, pod("c", "1m"), opts) == (
        'pods "c" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=1m, used: pods=2,requests.cpu=1, '
        "limited: pods=2,requests.cpu=1"
    )


async def test_what_must_be_stated(registry, clock) -> None:
    opts = charging(registry, clock)
    await quota(registry, requests_cpu="1", limits_memory="1Gi")
    assert await refused(registry, pod("a"), opts) == (
        'pods "a" is forbidden: failed quota: q: must specify limits.memory for: c; requests.cpu for: c'
    )


async def test_a_quota_that_was_not_counted_yet(registry, clock) -> None:
    opts = charging(registry, clock)
    await quota(registry, pods="2")
    entry = registry.cache_of(RESOURCEQUOTA).get("default", "q").obj

    def forgotten(current: Any) -> Any:
        fresh = copy_of(current)
        fresh.status.used = {}
        return fresh

    await registry.rewrite(RESOURCEQUOTA, "default", "q", forgotten)
    assert await refused(registry, pod("a"), opts) == (
        'pods "a" is forbidden: status unknown for quota: q, resources: pods'
    )
    assert entry.status.used == {"pods": "0"}


async def test_scopes_and_priority_classes(registry, clock) -> None:
    opts = charging(registry, clock)
    high = ScopedResourceSelectorRequirement(scope_name="PriorityClass", operator="In", values=["high"])
    await quota(registry, "high", selector=ScopeSelector(match_expressions=[high]), pods="0")
    await quota(registry, "ending", ("Terminating",), pods="0")
    await registry.create(POD, "default", pod("plain"), opts)
    assert "exceeded quota: high" in await refused(registry, pod("a", priority_class_name="high"), opts)
    assert "exceeded quota: ending" in await refused(registry, pod("b", active_deadline_seconds=5), opts)


async def test_objects_are_counted_and_services_by_their_ports(registry, clock) -> None:
    opts = charging(registry, clock)
    await quota(registry, count__configmaps="1", configmaps="5", services="5", services_nodeports="1")
    await registry.create(CONFIGMAP, "default", new(CONFIGMAP, "a", "default"), opts)
    assert "count/configmaps=1" in await refused(registry, new(CONFIGMAP, "b", "default"), opts, CONFIGMAP)
    service = new(SERVICE, "s", "default")
    service.spec.ports = [ServicePort(name="a", port=1), ServicePort(name="b", port=2)]
    await registry.create(SERVICE, "default", service, opts)

    def exposed(current: Any) -> Any:
        fresh = copy_of(current)
        fresh.spec.type = "NodePort"
        return fresh

    with pytest.raises(Forbidden, match=r"requested: services\.nodeports=2, used: services\.nodeports=0"):
        await registry.update(SERVICE, "default", "s", exposed, opts)
    assert used(registry)["services"] == "1"


async def test_a_write_that_fails_gives_back_its_charge(registry, clock) -> None:
    opts = charging(registry, clock)
    await quota(registry, pods="2")
    await registry.create(POD, "default", pod("a"), opts)
    for _ in range(5):
        with pytest.raises(AlreadyExists):
            await registry.create(POD, "default", pod("a"), opts)
    await registry.create(POD, "default", pod("b"), opts)
    assert used(registry) == {"pods": "2"}


async def test_all_quotas_or_none(registry, clock) -> None:
    opts = charging(registry, clock)
    await quota(registry, "a", pods="5")
    await quota(registry, "b", pods="1")
    answers = await asyncio.gather(
        *[registry.create(POD, "default", pod(f"p{n}"), opts) for n in range(4)], return_exceptions=True
    )
    assert sum(isinstance(answer, Forbidden) for answer in answers) == 3
    assert (used(registry, "a"), used(registry, "b")) == ({"pods": "1"}, {"pods": "1"})


async def test_dry_run_is_checked_and_not_charged(registry, clock) -> None:
    opts = charging(registry, clock)
    await quota(registry, pods="1")
    dry = WriteOptions(opts.user, dry_run=True, admission=opts.admission)
    await registry.create(POD, "default", pod("a"), dry)
    assert used(registry) == {"pods": "0"}
    await registry.create(POD, "default", pod("a"), opts)
    await refused(registry, pod("b"), dry)


async def test_who_gives_up_waiting_is_not_charged(registry, clock) -> None:
    opts = charging(registry, clock)
    await quota(registry, pods="3")
    tasks = [asyncio.create_task(registry.create(POD, "default", pod(f"p{n}"), opts)) for n in range(3)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    there = len(registry.cache_of(POD).entries("default"))
    for n in range(3 - there):
        await registry.create(POD, "default", pod(f"q{n}"), opts)
    assert used(registry) == {"pods": "3"}


class Gate(Plugin):
    """Holds requests that have been charged, until opened."""

    name = "Gate"

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.reached = asyncio.Event()

    async def validate(self, request: AdmissionRequest) -> None:
        if request.kind is POD:
            self.reached.set()
            await self.open.wait()


async def test_nobody_lowers_what_is_charged_while_the_object_is_on_its_way(registry, clock) -> None:
    gate = Gate()
    opts = WriteOptions(User("bob"), admission=AdmissionChain([ResourceQuotaPlugin(registry, clock), gate]))
    await quota(registry, pods="1")
    task = asyncio.create_task(registry.create(POD, "default", pod("a"), opts))
    await gate.reached.wait()
    assert used(registry) == {"pods": "1"}
    with pytest.raises(Conflict, match="objects that it counts are being written"):
        await recount(registry, opts)
    gate.open.set()
    await task
    await recount(registry, opts)
    assert used(registry) == {"pods": "1"}


async def recount(registry: Any, opts: WriteOptions) -> None:
    """What the controller does: count, and write conditionally."""
    current = registry.cache_of(RESOURCEQUOTA).get("default", "q").obj
    pods = [entry.obj for entry in registry.cache_of(POD).entries("default")]
    fresh = copy_of(current)
    evaluator = evaluator_of("pods")
    assert evaluator is not None
    fresh.status.used = write_all(used_by(current, [(evaluator, pods)], FakeClock().now()))
    await registry.update(RESOURCEQUOTA, "default", "q", lambda _: copy_of(fresh), opts.on("status"))


@settings(max_examples=15, deadline=None)
@given(data=st.data())
async def test_never_above_the_limit(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Creations, deletions, doubles, cancellations and recounts, all at once."""
    limit = data.draw(st.integers(1, 6))
    steps = data.draw(st.lists(st.sampled_from(["create", "double", "delete", "cancel", "recount"]), max_size=60))
    clock = FakeClock()
    store = await EmbeddedStore.open(tmp_path_factory.mktemp("quota") / "db", clock=clock)
    registry = await open_registry(store, clock)
    try:
        await registry.create(NAMESPACE, "", new(NAMESPACE, "default"), PLAIN)
        opts = charging(registry, clock)
        await quota(registry, pods=str(limit))
        most = 0

        def watch(*_event: Any) -> None:
            nonlocal most
            most = max(most, len(registry.cache_of(POD).entries("default")))

        registry.cache_of(POD).subscribe(watch)

        async def step(number: int, what: str) -> None:
            if what in ("create", "double", "cancel"):
                name = "same" if what == "double" else f"p{number}"
                task = asyncio.create_task(registry.create(POD, "default", pod(name), opts))
                if what == "cancel":
                    for _ in range(number % 4):
                        await asyncio.sleep(0)
                    task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            elif what == "recount":
                for _ in range(20):
                    try:
                        await recount(registry, opts)
                        break
                    except Conflict:
                        await asyncio.sleep(0)
            else:
                for entry in registry.cache_of(POD).entries("default")[:1]:
                    delete = registry.delete(POD, "default", entry.name, DeleteOptions(), PLAIN)
                    await asyncio.gather(delete, return_exceptions=True)

        await asyncio.gather(*[step(number, what) for number, what in enumerate(steps)])
        assert most <= limit
        for _ in range(100):
            try:
                await recount(registry, opts)
                break
            except Conflict:
                await asyncio.sleep(0.001)
        assert used(registry) == {"pods": str(len(registry.cache_of(POD).entries("default")))}
    finally:
        await registry.close()
        await store.close()
