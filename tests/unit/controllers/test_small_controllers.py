"""Namespace, service account, root CA, pod GC and node address ranges: one table each."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.errors import InternalError
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, NAMESPACE, NODE, POD, SERVICEACCOUNT
from tiphys.api.kinds.core.references import Taint
from tiphys.controllers import namespace, node_ipam, pod_gc, root_ca, serviceaccount
from tiphys.controllers._actions import DeleteCollection, RequeueAfter
from tiphys.controllers._apply import Stale
from tiphys.controllers._spec import Key
from tiphys.controllers.settings import ControllerSettings

from . import objects
from .memory import Bench, writes

# --- namespace


def ending() -> Bench:
    b = Bench(namespace.SPEC)
    b.client.put(NAMESPACE, objects.namespace("doomed", ending=True))
    return b


DOOMED = Key("", "doomed")


async def test_pods_go_before_anything_else() -> None:
    b = ending()
    b.client.put(POD, objects.pod("web", "doomed", node="n1"))
    b.client.put(CONFIGMAP, new(CONFIGMAP, "settings", "doomed"))
    await b.settle(DOOMED)
    assert b.client.all(POD)[0].metadata.deletion_timestamp
    assert len(b.client.all(CONFIGMAP)) == 1
    conditions = {each.type: each for each in b.client.all(NAMESPACE)[0].status.conditions}
    assert conditions["NamespaceContentRemaining"].status == "True"
    assert conditions["NamespaceContentRemaining"].message == (
        "Some resources are remaining: configmaps. has 1 resource instances, pods. has 1 resource instances"
    )
    b.client.drop(POD, "web", "doomed")
    await b.settle(DOOMED)
    assert b.client.all(CONFIGMAP) == []
    assert b.client.all(NAMESPACE) == []


async def test_finalizers_of_content_are_named() -> None:
    b = ending()
    held = new(CONFIGMAP, "held", "doomed")
    held.metadata.finalizers = ["example.com/hold"]
    b.client.put(CONFIGMAP, held)
    await b.settle(DOOMED)
    conditions = {each.type: each for each in b.client.all(NAMESPACE)[0].status.conditions}
    assert conditions["NamespaceFinalizersRemaining"].message == (
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    )
    assert len(b.client.all(NAMESPACE)) == 1


async def test_failing_deletion_shows_in_a_condition() -> None:
    b = ending()
    b.client.put(CONFIGMAP, new(CONFIGMAP, "settings", "doomed"))
    b.client.refuse = lambda verb, kind, name: InternalError("disk on fire") if verb == "deletecollection" else None
    with pytest.raises(InternalError):
        await b.apply(DOOMED)
    conditions = {each.type: each for each in b.client.all(NAMESPACE)[0].status.conditions}
    assert conditions["NamespaceDeletionContentFailure"].reason == "ContentDeletionFailed"


async def test_an_object_that_our_copy_lacks_keeps_the_namespace() -> None:
    b = ending()
    actions = b.plan(DOOMED)
    b.client.put(CONFIGMAP, new(CONFIGMAP, "late", "doomed"))
    with pytest.raises(Stale):
        await b._applier.apply(DOOMED, actions)
    assert len(b.client.all(NAMESPACE)) == 1


def test_a_living_namespace_is_left_alone() -> None:
    b = Bench(namespace.SPEC)
    b.client.put(NAMESPACE, objects.namespace("default"))
    b.client.put(POD, objects.pod("web"))
    assert b.plan(Key("", "default")) == []


def test_what_is_being_deleted_is_not_deleted_again() -> None:
    b = ending()
    pod = objects.pod("web", "doomed", node="n1")
    pod.metadata.deletion_timestamp = objects.NOW
    b.client.put(POD, pod)
    assert not [action for action in b.plan(DOOMED) if isinstance(action, DeleteCollection)]


# --- what every namespace has


async def test_every_namespace_has_its_account_and_the_root_ca() -> None:
    for spec, kind, name in (
        (serviceaccount.SPEC, SERVICEACCOUNT, "default"),
        (root_ca.SPEC, CONFIGMAP, "kube-root-ca.crt"),
    ):
        b = Bench(spec)
        b.client.put(NAMESPACE, objects.namespace("default"))
        await b.settle(Key("", "default"))
        assert [each.metadata.name for each in b.client.all(kind, "default")] == [name]
        b.client.put(NAMESPACE, objects.namespace("doomed", ending=True))
        assert b.plan(DOOMED) == []


async def test_a_changed_root_ca_is_put_back() -> None:
    b = Bench(root_ca.SPEC)
    b.client.put(NAMESPACE, objects.namespace("default"))
    await b.settle(Key("", "default"))
    b.client.edit(CONFIGMAP, "kube-root-ca.crt", "default", lambda obj: obj.data.update({"ca.crt": "forged"}))
    await b.settle(Key("", "default"))
    assert b.client.all(CONFIGMAP)[0].data == {"ca.crt": "PEM"}


# --- pod GC


async def test_pods_of_a_lost_node_go_after_the_quarantine() -> None:
    b = Bench(pod_gc.SPEC)
    b.client.put(POD, objects.pod("web", node="lost", phase="Running"))
    (wait,) = b.plan(Key("", "lost"))
    assert isinstance(wait, RequeueAfter)
    await b.clock.advance(wait.delay_s)
    await b.settle(Key("", "lost"))
    assert b.client.all(POD) == []
    assert ("patch status", "pods", "web") in b.client.calls


async def test_a_node_that_came_back_keeps_its_pods() -> None:
    b = Bench(pod_gc.SPEC)
    b.client.put(POD, objects.pod("web", node="lost", phase="Running"))
    await b.clock.advance(60)
    actions = b.plan(Key("", "lost"))
    assert writes(actions)
    b.client.put(NODE, objects.node("lost"))
    with pytest.raises(Stale):
        await b._applier.apply(Key("", "lost"), actions)
    assert len(b.client.all(POD)) == 1


async def test_only_terminating_pods_go_from_a_node_out_of_service() -> None:
    b = Bench(pod_gc.SPEC)
    node = objects.node("n1", ready="Unknown")
    node.spec.taints = [Taint(key="node.kubernetes.io/out-of-service", effect="NoExecute")]
    b.client.put(NODE, node)
    going = objects.pod("going", node="n1", phase="Running")
    going.metadata.deletion_timestamp = objects.NOW
    b.client.put(POD, going)
    b.client.put(POD, objects.pod("staying", node="n1", phase="Running"))
    await b.settle(Key("", "n1"))
    assert [pod.metadata.name for pod in b.client.all(POD)] == ["staying"]


async def test_finished_pods_beyond_the_threshold_go_oldest_first() -> None:
    b = Bench(pod_gc.SPEC, ControllerSettings(terminated_pod_threshold=2))
    for number in range(4):
        pod = objects.pod(f"done-{number}", node="n1", phase="Succeeded")
        pod.metadata.creation_timestamp = f"2026-01-01T00:00:0{9 - number}Z"
        b.client.put(POD, pod)
    await b.settle(Key("", ""))
    assert [pod.metadata.name for pod in b.client.all(POD)] == ["done-0", "done-1"]


# --- node address ranges


async def test_each_node_gets_its_own_range() -> None:
    b = Bench(node_ipam.SPEC)
    for number in range(4):
        b.client.put(NODE, objects.node(f"n{number}"))
        await b.settle(Key("", f"n{number}"))
    assert [node.spec.pod_cidr for node in b.client.all(NODE)] == [f"10.244.{number}.0/24" for number in range(4)]


def test_a_range_given_by_hand_is_kept_free() -> None:
    free = node_ipam.free_range("10.0.0.0/22", 24, lambda _: False, start=1, odd=["10.0.1.0/25", "fd00::/64"])
    assert free == "10.0.2.0/24"
    assert node_ipam.free_range("10.0.0.0/23", 24, {"10.0.0.0/24", "10.0.1.0/24"}.__contains__) is None


async def test_a_range_of_another_size_is_found_among_the_nodes() -> None:
    b = Bench(node_ipam.SPEC)
    for name, cidr in (("n0", "10.244.0.0/24"), ("n1", "10.244.1.128/25"), ("n2", "")):
        node = objects.node(name)
        node.spec.pod_cidr = cidr
        b.client.put(NODE, node)
    await b.settle(Key("", "n2"))
    assert b.client.informer(NODE).get("n2").spec.pod_cidr == "10.244.2.0/24"


async def test_no_range_left_is_said() -> None:
    b = Bench(node_ipam.SPEC, ControllerSettings(cluster_cidr="10.244.0.0/24"))
    for name in ("n0", "n1"):
        b.client.put(NODE, objects.node(name))
        await b.apply(Key("", name))
    assert b.events.events == [("n1", "Normal", "CIDRNotAvailable", "Node n1 status is now: CIDRNotAvailable")]
    assert b.plan(Key("", "n1"))[-1] == RequeueAfter(10.0)
    await b.clock.advance(100)
    assert b.plan(Key("", "n1"))[-1] == RequeueAfter(100.0)
    await b.clock.advance(100_000)
    assert b.plan(Key("", "n1"))[-1] == RequeueAfter(600.0)


def woken(b: Bench, change: str, old: Any, new: Any) -> set[str]:
    """The nodes that a change of a node wakes."""
    (watch,) = node_ipam.SPEC.watches
    assert watch.when is not None
    if not watch.when(old, new):
        return set()
    return {key.name for obj in (old, new) if obj is not None for key in watch.keys(b.listers, obj)}


def test_a_range_that_becomes_free_wakes_one_that_waits() -> None:
    b = Bench(node_ipam.SPEC, ControllerSettings(cluster_cidr="10.244.0.0/24"))
    n0, n1 = objects.node("n0"), b.client.put(NODE, objects.node("n1"))
    n0.spec.pod_cidr = "10.244.0.0/24"
    n0 = b.client.put(NODE, n0)
    assert woken(b, "ADDED", None, n1) == {"n1"}
    assert woken(b, "ADDED", None, n0) == set()
    assert woken(b, "MODIFIED", n1, n1) == set()
    b.client.drop(NODE, "n0")
    assert woken(b, "DELETED", n0, None) == {"n1"}
