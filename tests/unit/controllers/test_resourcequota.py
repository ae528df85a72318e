"""The quota controller: what it counts, when it writes, and whom a change wakes."""

from __future__ import annotations

from typing import Any

from tiphys.api.custom.definition import Definition, Spec, Version
from tiphys.api.custom.kind import kinds_of
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, CUSTOMRESOURCEDEFINITION, POD, RESOURCEQUOTA, SECRET, SERVICE
from tiphys.api.kinds.apiextensions.customresourcedefinition import CustomResourceDefinitionNames
from tiphys.api.kinds.core.pod.containers import ResourceRequirements
from tiphys.api.kinds.core.pod.status import ContainerStatus
from tiphys.api.meta.schema import Quantity
from tiphys.controllers._actions import RequeueAfter
from tiphys.controllers._spec import Key
from tiphys.controllers.resourcequota import SPEC

from . import objects
from .memory import Bench

KEY = Key("default", "q")


def quota(b: Bench, scopes: tuple[str, ...] = (), **hard: str) -> Any:
    made = new(RESOURCEQUOTA, "q", "default")
    made.spec.hard = {name.replace("__", "/").replace("_", "."): Quantity(text) for name, text in hard.items()}
    made.spec.scopes = list(scopes)
    return b.client.put(RESOURCEQUOTA, made)


def status(b: Bench) -> Any:
    return b.client.informer(RESOURCEQUOTA).get("q", "default").status


async def test_counts_what_is_there_and_only_in_its_namespace() -> None:
    b = Bench(SPEC)
    quota(b, pods="5", requests_cpu="2", count__configmaps="9", services="3", services_nodeports="1")
    for number in range(2):
        pod = objects.pod(f"p{number}")
        pod.spec.containers[0].resources.requests = {"cpu": Quantity("250m")}
        b.client.put(POD, pod)
    b.client.put(POD, objects.pod("done", phase="Succeeded"))
    b.client.put(POD, objects.pod("elsewhere", "other"))
    b.client.put(CONFIGMAP, new(CONFIGMAP, "a", "default"))
    service = objects.service()
    service.spec.type = "NodePort"
    b.client.put(SERVICE, service)
    await b.settle(KEY)
    assert status(b).used == {
        "count/configmaps": "1", "pods": "2", "requests.cpu": "500m", "services": "1",
        "services.nodeports": str(len(service.spec.ports)),
    }  # fmt: skip
    assert status(b).hard == b.client.informer(RESOURCEQUOTA).get("q", "default").spec.hard


async def test_scopes_choose_pods() -> None:
    b = Bench(SPEC)
    quota(b, ("Terminating",), pods="5")
    b.client.put(POD, objects.pod("endless"))
    ending = objects.pod("ending")
    ending.spec.active_deadline_seconds = 60
    b.client.put(POD, ending)
    await b.settle(KEY)
    assert status(b).used == {"pods": "1"}


async def test_limits_that_nobody_can_count_keep_what_was_known() -> None:
    b = Bench(SPEC)
    made = quota(b, count__crontabs_example_com="5", pods="1")
    made.status.used = {"count/crontabs.example.com": Quantity("3"), "secrets": Quantity("4")}
    b.client.put(RESOURCEQUOTA, made)
    await b.settle(KEY)
    assert status(b).used == {"count/crontabs.example.com": "3", "pods": "0"}


async def test_a_pod_that_should_be_gone_counts_no_more_and_time_alone_says_so() -> None:
    b = Bench(SPEC)
    quota(b, pods="5")
    leaving = objects.pod("p")
    leaving.metadata.deletion_timestamp = objects.NOW
    leaving.metadata.deletion_grace_period_seconds = 10**9
    b.client.put(POD, leaving)
    await b.settle(KEY)
    assert status(b).used == {"pods": "1"}
    assert any(isinstance(action, RequeueAfter) for action in b.plan(KEY))


def test_who_is_woken() -> None:
    b = Bench(SPEC)
    quota(b, pods="5")
    woken = {
        watch.kind: list(watch.keys(b.listers, new(watch.kind, "x", "default")))
        for watch in SPEC.watches
        if watch.kind in (POD, SECRET)
    }
    assert woken == {POD: [KEY], SECRET: []}
    pods = next(watch for watch in SPEC.watches if watch.kind is POD)
    assert pods.when is not None
    running, busy, done = objects.pod("p"), objects.pod("p", ready=True), objects.pod("p", phase="Failed")
    assert pods.when(running, done)
    assert pods.when(running, None)
    busy.status.container_statuses = running.status.container_statuses
    assert not pods.when(running, busy)


def widgets() -> Any:
    spec = Spec(
        group="example.com",
        names=CustomResourceDefinitionNames(plural="widgets", kind="Widget"),
        scope="Namespaced",
        versions=[Version(name="v1", served=True, storage=True)],
    )
    return kinds_of(Definition(spec=spec), spec.names)["v1"]


async def test_objects_of_custom_kinds_are_counted_once_the_kind_is_there() -> None:
    b = Bench(SPEC)
    made = quota(b, count__widgets_example_com="2")
    await b.settle(KEY)
    assert status(b).used == {}  # nobody knows the kind, and admission refuses what it cannot count
    kind = widgets()
    b.listers._informers[kind] = b.client.informer(kind)  # type: ignore[index]
    definition = new(CUSTOMRESOURCEDEFINITION, "widgets.example.com")
    woken = next(watch for watch in SPEC.watches if watch.kind is CUSTOMRESOURCEDEFINITION)
    assert list(woken.keys(b.listers, definition)) == [KEY]
    await b.settle(KEY)
    assert status(b).used == {"count/widgets.example.com": "0"}
    widget = b.client.put(kind, new(kind, "w", "default"))
    assert SPEC.custom is not None
    assert list(SPEC.custom(kind).watch.keys(b.listers, widget)) == [KEY]
    await b.settle(KEY)
    assert status(b).used == {"count/widgets.example.com": "1"}
    assert made.spec.hard == status(b).hard


async def test_a_pod_that_shrinks_counts_with_the_more_until_it_has_shrunk() -> None:
    b = Bench(SPEC)
    quota(b, requests_cpu="2")
    pod = objects.pod("p")
    container = pod.spec.containers[0]
    container.resources.requests = {"cpu": Quantity("250m")}
    old = ResourceRequirements(requests={"cpu": Quantity("500m")})
    pod.status.container_statuses = [
        ContainerStatus(name=container.name, resources=old, allocated_resources={"cpu": Quantity("250m")})
    ]
    b.client.put(POD, pod)
    await b.settle(KEY)
    assert status(b).used == {"requests.cpu": "500m"}
    old.requests["cpu"] = Quantity("250m")
    b.client.put(POD, pod)
    await b.settle(KEY)
    assert status(b).used == {"requests.cpu": "250m"}
