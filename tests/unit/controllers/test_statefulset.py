from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tiphys.api.kinds import CONTROLLERREVISION, PERSISTENTVOLUMECLAIM, POD, STATEFULSET
from tiphys.api.kinds.apps.statefulset import (
    RollingUpdateStatefulSetStrategy,
    StatefulSetOrdinals,
    StatefulSetPersistentVolumeClaimRetentionPolicy,
)
from tiphys.controllers import statefulset
from tiphys.controllers._spec import Key

from . import objects
from .memory import Bench, writes

KEY = Key("default", "db")


def bench(edit: Callable[[Any], None] = lambda obj: None, **fields: Any) -> Bench:
    b = Bench(statefulset.SPEC)
    wanted = objects.stateful_set(**fields)
    edit(wanted)
    b.client.put(STATEFULSET, wanted)
    return b


def names(b: Bench) -> list[str]:
    return [pod.metadata.name for pod in b.client.all(POD)]


def images(b: Bench) -> list[str]:
    return [pod.spec.containers[0].image for pod in b.client.all(POD)]


def kubelet(b: Bench, *, ready: Callable[[Any], bool] = lambda pod: True) -> bool:
    """Lets pods start and end; whether anything moved."""
    moved = False
    for pod in b.client.all(POD):
        if pod.metadata.deletion_timestamp:
            b.client.drop(POD, pod.metadata.name, "default")
            moved = True
        elif not pod.spec.node_name:
            b.client.edit(POD, pod.metadata.name, "default", lambda obj: setattr(obj.spec, "node_name", "n1"))
            moved = True
        elif pod.status.phase == "Pending" and ready(pod):
            b.client.edit(POD, pod.metadata.name, "default", objects.make_ready)
            moved = True
    return moved


async def run(b: Bench, rounds: int = 60, **options: Any) -> list[list[str]]:
    """The names of the pods after each step until nothing moves."""
    seen = []
    for _ in range(rounds):
        await b.settle(KEY)
        seen.append(names(b))
        if not kubelet(b, **options):
            return seen
    raise AssertionError(f"no end: {seen}")


def change(b: Bench, edit: Callable[[Any], None]) -> None:
    def bumped(obj: Any) -> None:
        edit(obj)
        obj.metadata.generation += 1

    b.client.edit(STATEFULSET, "db", "default", bumped)


def set_image(image: str) -> Callable[[Any], None]:
    return lambda obj: setattr(obj.spec.template.spec.containers[0], "image", image)


async def test_pods_come_one_after_another_with_name_identity_and_claims() -> None:
    b = bench(claims=("data",))
    seen = await run(b)
    assert [len(each) for each in seen if each] == sorted(len(each) for each in seen if each), "one more each time"
    assert {len(b) - len(a) for a, b in itertools.pairwise(seen)} <= {0, 1}
    assert seen[-1] == ["db-0", "db-1", "db-2"]
    pod = b.client.all(POD)[1]
    assert pod.metadata.labels["statefulset.kubernetes.io/pod-name"] == "db-1"
    assert pod.metadata.labels["apps.kubernetes.io/pod-index"] == "1"
    assert (pod.spec.hostname, pod.spec.subdomain) == ("db-1", "db")
    assert pod.spec.volumes[0].persistent_volume_claim.claim_name == "data-db-1"
    assert [claim.metadata.name for claim in b.client.all(PERSISTENTVOLUMECLAIM)] == [
        "data-db-0",
        "data-db-1",
        "data-db-2",
    ]
    revision = b.client.all(CONTROLLERREVISION)[0]
    status = b.client.all(STATEFULSET)[0].status
    assert status.current_revision == status.update_revision == revision.metadata.name
    assert pod.metadata.labels["controller-revision-hash"] == revision.metadata.name
    assert (status.replicas, status.ready_replicas, status.current_replicas, status.updated_replicas) == (3, 3, 3, 3)
    assert ("db", "Normal", "SuccessfulCreate", "Create Pod db-0 in StatefulSet db successful") in b.events.events


async def test_in_order_a_pod_waits_for_the_one_before_it() -> None:
    b = bench()
    await run(b, ready=lambda pod: pod.metadata.name != "db-1")
    assert names(b) == ["db-0", "db-1"]


async def test_in_parallel_all_come_and_go_at_once() -> None:
    b = bench(lambda obj: setattr(obj.spec, "pod_management_policy", "Parallel"))
    await b.apply(KEY)
    await b.apply(KEY)
    assert len(names(b)) == 3
    await run(b)
    change(b, lambda obj: setattr(obj.spec, "replicas", 0))
    await b.settle(KEY)
    assert all(pod.metadata.deletion_timestamp for pod in b.client.all(POD))


async def test_ordinals_may_start_later() -> None:
    b = bench(lambda obj: setattr(obj.spec, "ordinals", StatefulSetOrdinals(start=5)), replicas=2)
    await run(b)
    assert names(b) == ["db-5", "db-6"]


async def test_scaling_down_takes_the_highest_first_and_one_at_a_time() -> None:
    b = bench()
    await run(b)
    change(b, lambda obj: setattr(obj.spec, "replicas", 1))
    seen = await run(b)
    assert ["db-0", "db-1"] in seen
    assert seen[-1] == ["db-0"]


async def test_scaling_down_waits_while_a_pod_is_unwell() -> None:
    b = bench()
    await run(b)
    b.client.edit(POD, "db-0", "default", lambda pod: setattr(pod.status.conditions[0], "status", "False"))
    change(b, lambda obj: setattr(obj.spec, "replicas", 1))
    await b.settle(KEY)
    assert not any(pod.metadata.deletion_timestamp for pod in b.client.all(POD))


async def test_an_update_goes_from_the_last_to_the_first() -> None:
    b = bench()
    await run(b)
    change(b, set_image("db:2"))
    await b.settle(KEY)
    assert [bool(pod.metadata.deletion_timestamp) for pod in b.client.all(POD)] == [False, False, True]
    await run(b)
    assert images(b) == ["db:2"] * 3
    status = b.client.all(STATEFULSET)[0].status
    assert status.current_revision == status.update_revision
    assert status.updated_replicas == 3
    assert len(b.client.all(CONTROLLERREVISION)) == 2


async def test_a_partition_keeps_pods_below_it_as_they_were_even_if_they_die() -> None:
    b = bench(
        lambda obj: (
            setattr(obj.spec.update_strategy, "rolling_update", RollingUpdateStatefulSetStrategy(partition=2))
            or setattr(obj.spec.update_strategy, "type", "RollingUpdate")
        )
    )
    await run(b)
    change(b, set_image("db:2"))
    await run(b)
    assert images(b) == ["db:1", "db:1", "db:2"]
    b.client.drop(POD, "db-0", "default")
    await run(b)
    assert images(b) == ["db:1", "db:1", "db:2"]
    status = b.client.all(STATEFULSET)[0].status
    assert (status.current_replicas, status.updated_replicas) == (2, 1)
    assert status.current_revision != status.update_revision


@pytest.mark.parametrize(("unavailable", "going"), [(1, 1), (2, 2), ("50%", 2), ("100%", 4)])
async def test_as_many_are_replaced_as_may_be_unavailable(unavailable: Any, going: int) -> None:
    b = bench(
        lambda obj: (
            setattr(
                obj.spec.update_strategy,
                "rolling_update",
                RollingUpdateStatefulSetStrategy(max_unavailable=unavailable),
            )
            or setattr(obj.spec.update_strategy, "type", "RollingUpdate")
        ),
        replicas=4,
    )
    await run(b)
    change(b, set_image("db:2"))
    await b.settle(KEY)
    assert sum(bool(pod.metadata.deletion_timestamp) for pod in b.client.all(POD)) == going


async def test_on_delete_waits_for_the_user() -> None:
    b = bench(lambda obj: setattr(obj.spec.update_strategy, "type", "OnDelete"), replicas=2)
    await run(b)
    change(b, set_image("db:2"))
    await run(b)
    assert images(b) == ["db:1", "db:1"]
    b.client.drop(POD, "db-1", "default")
    await run(b)
    assert images(b) == ["db:1", "db:2"]


async def test_a_failed_pod_is_made_anew() -> None:
    b = bench(replicas=1)
    await run(b)
    old = b.client.all(POD)[0].metadata.uid
    b.client.edit(POD, "db-0", "default", lambda pod: setattr(pod.status, "phase", "Failed"))
    await run(b)
    assert b.client.all(POD)[0].metadata.uid != old
    assert b.client.all(POD)[0].status.phase == "Running"


async def test_going_back_brings_the_old_revision_to_the_top() -> None:
    b = bench(replicas=1)
    await run(b)
    for image in ("db:2", "db:1"):
        change(b, set_image(image))
        await run(b)
    revisions = sorted((each.revision, each.metadata.name) for each in b.client.all(CONTROLLERREVISION))
    assert [number for number, _ in revisions] == [2, 3]
    assert b.client.all(STATEFULSET)[0].status.update_revision == revisions[-1][1]


async def test_history_is_bounded() -> None:
    b = bench(lambda obj: setattr(obj.spec, "revision_history_limit", 2), replicas=1)
    for number in range(6):
        change(b, set_image(f"db:{number}"))
        await run(b)
    assert len(b.client.all(CONTROLLERREVISION)) == 3, "two old ones and the present"


async def test_another_revision_of_the_same_name_is_a_collision() -> None:
    first = bench(replicas=0)
    await first.settle(KEY)
    name = first.client.all(CONTROLLERREVISION)[0].metadata.name
    b = bench(replicas=0)
    squatter = b.client.put(CONTROLLERREVISION, first.client.all(CONTROLLERREVISION)[0])
    b.client.edit(
        CONTROLLERREVISION,
        name,
        "default",
        lambda obj: (
            setattr(obj, "data", {"x": 1})
            or setattr(obj.metadata, "owner_references", [])
            or obj.metadata.labels.clear()
        ),
    )
    await b.settle(KEY)
    assert {each.metadata.name for each in b.client.all(CONTROLLERREVISION)} - {squatter.metadata.name}
    assert b.client.all(STATEFULSET)[0].status.collision_count == 1


@pytest.mark.parametrize(
    ("scaled", "deleted", "kept", "condemned"),
    [
        ("Retain", "Retain", None, None),
        ("Retain", "Delete", "StatefulSet", "StatefulSet"),
        ("Delete", "Retain", None, "Pod"),
        ("Delete", "Delete", "StatefulSet", "Pod"),
    ],
)
async def test_claims_are_owned_as_the_policy_says(
    scaled: str, deleted: str, kept: str | None, condemned: str | None
) -> None:
    policy = StatefulSetPersistentVolumeClaimRetentionPolicy(when_scaled=scaled, when_deleted=deleted)
    b = bench(
        lambda obj: setattr(obj.spec, "persistent_volume_claim_retention_policy", policy), replicas=2, claims=("data",)
    )
    await run(b)

    def owner(name: str) -> str | None:
        claim = b.client.informer(PERSISTENTVOLUMECLAIM).get(name, "default")
        return claim.metadata.owner_references[0].kind if claim.metadata.owner_references else None

    assert owner("data-db-1") == kept
    change(b, lambda obj: setattr(obj.spec, "replicas", 1))
    await b.settle(KEY)
    assert owner("data-db-0") == kept
    assert owner("data-db-1") == condemned


async def test_a_claim_that_is_going_holds_its_pod_up_and_is_said() -> None:
    b = bench(replicas=1, claims=("data",))
    claim = objects.new(PERSISTENTVOLUMECLAIM, "data-db-0", "default")
    claim.metadata.deletion_timestamp, claim.metadata.finalizers = objects.NOW, ["kubernetes.io/pvc-protection"]
    b.client.put(PERSISTENTVOLUMECLAIM, claim)
    await b.settle(KEY)
    await b.apply(KEY)
    assert names(b) == []
    assert b.events.events[-1] == (
        "db",
        "Warning",
        "FailedCreate",
        "Create Pod db-0 in StatefulSet db failed error: pvc data-db-0 is being deleted",
    )
    watch = next(watch for watch in statefulset.SPEC.watches if watch.kind is PERSISTENTVOLUMECLAIM)
    assert list(watch.keys(b.listers, claim)) == [KEY], "its end wakes the set"


async def test_one_that_is_being_deleted_changes_no_pods() -> None:
    b = bench()
    await run(b)
    b.client.edit(STATEFULSET, "db", "default", lambda obj: setattr(obj.metadata, "deletion_timestamp", objects.NOW))
    b.client.drop(POD, "db-2", "default")
    assert [type(action).__name__ for action in writes(b.plan(KEY))] == ["UpdateStatus"]
