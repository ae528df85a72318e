from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tiphys.api.custom.schema import CustomSchema
from tiphys.api.kind import Kind, new
from tiphys.api.kinds import CONFIGMAP, NODE, POD, REPLICASET, SECRET
from tiphys.api.meta.types import OwnerReference
from tiphys.controllers import garbage_collector
from tiphys.controllers._actions import Delete
from tiphys.controllers._apply import Stale
from tiphys.controllers._claims import without_owners
from tiphys.controllers.garbage_collector import Item

from . import objects
from .memory import Bench


def owned(name: str, *owners: tuple[Kind[Any], str, str], namespace: str = "default", block: bool = True) -> Any:
    obj = new(CONFIGMAP, name, namespace)
    obj.metadata.uid = f"uid-{name}"
    obj.metadata.owner_references = [
        OwnerReference(api_version=kind.api_version, kind=kind.kind, name=owner, uid=uid, block_owner_deletion=block)
        for kind, owner, uid in owners
    ]
    return obj


def item(name: str, kind: Kind[Any] = CONFIGMAP, namespace: str = "default", uid: str = "") -> Item:
    return Item(kind, namespace, name, uid or f"uid-{name}")


def bench(*objs: tuple[Kind[Any], Any]) -> Bench:
    b = Bench(garbage_collector.SPEC)
    for kind, obj in objs:
        b.client.put(kind, obj)
    return b


def names(b: Bench, kind: Kind[Any] = CONFIGMAP) -> list[str]:
    return [obj.metadata.name for obj in b.client.all(kind)]


async def test_what_lost_its_only_owner_goes() -> None:
    b = bench((CONFIGMAP, owned("child", (CONFIGMAP, "parent", "uid-parent"))))
    await b.settle(item("child"))
    assert names(b) == []


async def test_an_owner_of_the_same_name_but_another_uid_is_not_the_owner() -> None:
    parent = owned("parent")
    b = bench((CONFIGMAP, parent), (CONFIGMAP, owned("child", (CONFIGMAP, "parent", "uid-of-the-former"))))
    await b.settle(item("child"))
    assert names(b) == ["parent"]


async def test_one_solid_owner_keeps_it_and_the_lost_ones_are_struck() -> None:
    child = owned("child", (CONFIGMAP, "parent", "uid-parent"), (SECRET, "gone", "uid-gone"))
    b = bench((CONFIGMAP, owned("parent")), (CONFIGMAP, child))
    await b.settle(item("child"))
    left = b.client.informer(CONFIGMAP).get("child", "default")
    assert [reference.uid for reference in left.metadata.owner_references] == ["uid-parent"]


async def test_an_owner_that_our_copy_lacks_but_that_exists_saves_the_child() -> None:
    b = bench((CONFIGMAP, owned("child", (CONFIGMAP, "parent", "uid-parent"))))
    actions = b.plan(item("child"))
    assert isinstance(actions[0], Delete)
    b.client.put(CONFIGMAP, owned("parent"))
    with pytest.raises(Stale):
        await b._applier.apply(item("child"), actions)
    assert names(b) == ["child", "parent"]


async def test_owners_of_unknown_kinds_keep_everything() -> None:
    child = owned("child")
    child.metadata.owner_references = [OwnerReference(api_version="x.example/v1", kind="Thing", name="t", uid="u")]
    assert bench((CONFIGMAP, child)).plan(item("child")) == []


async def test_foreground_waits_for_blocking_dependents() -> None:
    parent = owned("parent")
    parent.metadata.finalizers = ["foregroundDeletion"]
    parent.metadata.deletion_timestamp = objects.NOW
    blocking = owned("blocking", (CONFIGMAP, "parent", "uid-parent"))
    free = owned("free", (CONFIGMAP, "parent", "uid-parent"), block=False)
    b = bench((CONFIGMAP, parent), (CONFIGMAP, blocking), (CONFIGMAP, free))
    assert b.plan(item("parent")) == []
    await b.settle(item("blocking"))
    assert names(b) == ["free", "parent"]
    await b.settle(item("parent"))
    assert names(b) == ["free"]


async def test_foreground_goes_down_the_tree() -> None:
    parent = owned("parent")
    parent.metadata.finalizers = ["foregroundDeletion"]
    parent.metadata.deletion_timestamp = objects.NOW
    b = bench(
        (CONFIGMAP, parent),
        (CONFIGMAP, owned("child", (CONFIGMAP, "parent", "uid-parent"))),
        (CONFIGMAP, owned("grandchild", (CONFIGMAP, "child", "uid-child"))),
    )
    await b.settle(item("child"))
    assert "foregroundDeletion" in b.client.informer(CONFIGMAP).get("child", "default").metadata.finalizers
    await b.settle(item("grandchild"))
    await b.settle(item("child"))
    await b.settle(item("parent"))
    assert names(b) == []


async def test_a_cycle_in_foreground_deletion_comes_to_an_end() -> None:
    one = owned("one", (CONFIGMAP, "two", "uid-two"))
    one.metadata.finalizers = ["foregroundDeletion"]
    one.metadata.deletion_timestamp = objects.NOW
    b = bench((CONFIGMAP, one), (CONFIGMAP, owned("two", (CONFIGMAP, "one", "uid-one"))))
    for _ in range(3):
        await b.settle(item("two"))
        await b.settle(item("one"))
    assert names(b) == []


async def test_orphaning_frees_dependents_and_then_lets_go() -> None:
    parent = owned("parent")
    parent.metadata.finalizers = ["orphan"]
    parent.metadata.deletion_timestamp = objects.NOW
    b = bench((CONFIGMAP, parent), (CONFIGMAP, owned("child", (CONFIGMAP, "parent", "uid-parent"))))
    # The finalizer stays while a dependent is seen: freeing it may fail.
    assert [action.name for action in b.plan(item("parent"))] == ["child"]
    await b.settle(item("parent"))
    await b.settle(item("parent"))
    assert names(b) == ["child"]
    assert b.client.all(CONFIGMAP)[0].metadata.owner_references == []


def test_custom_resources_are_freed_without_a_strategic_patch() -> None:
    custom = msgspec.structs.replace(CONFIGMAP, custom=CustomSchema(b"{}"))
    child = owned("child", (CONFIGMAP, "parent", "uid-parent"), (CONFIGMAP, "other", "uid-other"))
    child.metadata.resource_version = "7"
    patch = without_owners(custom, child, ["uid-parent"])
    assert patch.patch_type == "merge"
    metadata = patch.patch["metadata"]
    assert [reference["uid"] for reference in metadata["ownerReferences"]] == ["uid-other"]
    assert (metadata["uid"], metadata["resourceVersion"]) == (child.metadata.uid, "7")


async def test_an_owner_in_another_namespace_counts_as_absent_and_is_reported() -> None:
    b = bench(
        (CONFIGMAP, owned("parent", namespace="elsewhere")),
        (CONFIGMAP, owned("child", (CONFIGMAP, "parent", "uid-parent"))),
    )
    await b.apply(item("child"))
    assert names(b) == ["parent"]
    assert b.events.events == [
        (
            "child",
            "Warning",
            "OwnerRefInvalidNamespace",
            "ownerRef [v1/ConfigMap, namespace: default, name: parent, uid: uid-parent] does not exist in namespace "
            '"default"',
        )
    ]


async def test_a_cluster_wide_object_is_never_deleted_for_a_namespaced_owner() -> None:
    node = objects.node("n1")
    node.metadata.owner_references = [OwnerReference(api_version="v1", kind="Pod", name="p", uid="u")]
    b = bench((NODE, node))
    await b.apply(Item(NODE, "", "n1", "uid-nodes--n1"))
    assert names(b, NODE) == ["n1"]
    assert b.events.events[0][2] == "OwnerRefInvalidNamespace"


def test_a_deleted_owner_wakes_its_dependents_and_owners() -> None:
    parent = objects.replica_set("web")
    b = bench((REPLICASET, parent), (POD, objects.pod("web-1", owner=(REPLICASET, parent))))
    watch = next(watch for watch in garbage_collector.SPEC.watches if watch.kind is REPLICASET)
    old = b.client.informer(REPLICASET).get("web", "default")
    b.client.drop(REPLICASET, "web", "default")
    assert Item(POD, "default", "web-1", "uid-pods-default-web-1") in set(watch.keys(b.listers, old))


def test_who_loses_a_dependent_is_woken() -> None:
    """It may wait for just that one, and nothing else happens to it."""
    before = owned("child", (CONFIGMAP, "stays", "uid-stays"), (CONFIGMAP, "waits", "uid-waits"))
    after = owned("child", (CONFIGMAP, "stays", "uid-stays"))
    b = bench((CONFIGMAP, after))
    watch = next(watch for watch in garbage_collector.SPEC.watches if watch.kind is CONFIGMAP)
    assert set(watch.keys(b.listers, before)) == {item("child"), item("waits")}
    assert set(watch.keys(b.listers, after)) == {item("child")}
