from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.errors import Forbidden
from tiphys.api.kinds import POD, REPLICASET
from tiphys.api.meta.types import LabelSelectorRequirement
from tiphys.controllers import _replicas, replicaset
from tiphys.controllers._actions import Create, Delete, RequeueAfter
from tiphys.controllers._apply import Stale
from tiphys.controllers._spec import Key

from . import objects
from .memory import Bench, writes

KEY = Key("default", "web")


def bench(replicas: int = 3, pods: int = 0, **pod: Any) -> Bench:
    bench = Bench(replicaset.SPEC)
    owner = bench.client.put(REPLICASET, objects.replica_set(replicas=replicas))
    for number in range(pods):
        bench.client.put(POD, objects.pod(f"web-{number}", owner=(REPLICASET, owner), **pod))
    return bench


async def test_makes_what_is_missing_and_says_so() -> None:
    b = bench(3, pods=1)
    await b.settle(KEY)
    pods = b.client.all(POD)
    assert len(pods) == 3
    made = [pod for pod in pods if pod.metadata.generate_name == "web-"]
    assert len(made) == 2
    assert made[0].metadata.owner_references[0].uid == "uid-rs-web"
    assert made[0].metadata.owner_references[0].block_owner_deletion is True
    assert ("web", "Normal", "SuccessfulCreate", f"Created pod: {made[0].metadata.name}") in b.events.events
    status = b.client.all(REPLICASET)[0].status
    assert (status.replicas, status.fully_labeled_replicas, status.ready_replicas) == (3, 3, 0)
    assert status.observed_generation == 1


def test_asks_for_at_most_one_burst() -> None:
    creates = [action for action in bench(2000).plan(KEY) if isinstance(action, Create)]
    assert len(creates) == _replicas.BURST


async def test_deletes_the_least_useful_first() -> None:
    b = bench(1)
    owner = b.client.all(REPLICASET)[0]
    put = lambda pod: b.client.put(POD, pod)  # noqa: E731 - a name for five calls
    put(objects.pod("ready-old", owner=(REPLICASET, owner), node="n1", ready=True))
    put(objects.pod("ready-cheap", owner=(REPLICASET, owner), node="n2", ready=True))
    put(objects.pod("not-ready", owner=(REPLICASET, owner), node="n1", phase="Running"))
    put(objects.pod("unbound", owner=(REPLICASET, owner)))
    b.client.edit(
        POD,
        "ready-cheap",
        "default",
        lambda pod: pod.metadata.annotations.update({"controller.kubernetes.io/pod-deletion-cost": "-5"}),
    )
    deletes = [action.name for action in b.plan(KEY) if isinstance(action, Delete)]
    assert deletes == ["unbound", "not-ready", "ready-cheap"]
    await b.apply(KEY)
    assert ("web", "Normal", "SuccessfulDelete", "Deleted pod: unbound") in b.events.events


def test_prefers_the_crowded_node() -> None:
    b = bench(2)
    owner = b.client.all(REPLICASET)[0]
    for name, node in (("a", "n1"), ("b", "n2"), ("c", "n2")):
        b.client.put(POD, objects.pod(name, owner=(REPLICASET, owner), node=node, ready=True))
    assert next(action.name for action in b.plan(KEY) if isinstance(action, Delete)) in ("b", "c")


def test_a_cost_must_be_a_plain_number() -> None:
    from tiphys.controllers._pods import DELETION_COST, deletion_cost

    pod = objects.pod("a")
    for text, cost in (("7", 7), ("-7", -7), ("+7", 0), ("07", 0), ("x", 0), ("", 0), (str(2**31), 0)):
        pod.metadata.annotations = {DELETION_COST: text}
        assert deletion_cost(pod) == cost, text


async def test_adopts_matching_orphans_and_releases_strangers() -> None:
    b = bench(2)
    owner = b.client.all(REPLICASET)[0]
    b.client.put(POD, objects.pod("orphan", app="web"))
    b.client.put(POD, objects.pod("stranger", owner=(REPLICASET, owner), app="else"))
    b.client.put(POD, objects.pod("foreign", owner=(REPLICASET, objects.replica_set("other")), app="web"))
    before = b.client.informer(POD).get("foreign", "default")
    await b.settle(KEY)
    get = b.client.informer(POD).get
    assert get("orphan", "default").metadata.owner_references[0].uid == "uid-rs-web"
    assert get("stranger", "default").metadata.owner_references == []
    assert get("foreign", "default") is before
    assert b.client.all(REPLICASET)[0].status.replicas == 2


async def test_a_replica_set_that_is_gone_in_truth_adopts_nothing() -> None:
    b = bench(1)
    b.client.put(POD, objects.pod("orphan"))
    actions = b.plan(KEY)
    b.client.drop(REPLICASET, "web", "default")
    with pytest.raises(Stale):
        await b._applier.apply(KEY, actions)
    assert b.client.informer(POD).get("orphan", "default").metadata.owner_references == []


async def test_a_full_quota_costs_one_try_and_shows_in_the_status() -> None:
    b = bench(50)
    b.client.refuse = lambda verb, kind, name: Forbidden("exceeded quota") if verb == "create" and kind is POD else None
    for _ in range(2):
        with pytest.raises(Forbidden):
            await b.apply(KEY)
    assert [call for call in b.client.calls if call[0] == "create"] == [("create", "pods", "")] * 2
    (condition,) = b.client.all(REPLICASET)[0].status.conditions
    assert (condition.type, condition.reason, condition.message) == ("ReplicaFailure", "FailedCreate", "exceeded quota")
    assert b.events.events[0] == ("web", "Warning", "FailedCreate", "Error creating: exceeded quota")
    b.client.refuse = lambda verb, kind, name: None
    await b.settle(KEY)
    assert b.client.all(REPLICASET)[0].status.conditions == []
    assert len(b.client.all(POD)) == 50


async def test_counts_a_pod_as_available_only_after_its_time() -> None:
    b = bench(1)
    b.client.edit(REPLICASET, "web", "default", lambda obj: setattr(obj.spec, "min_ready_seconds", 10))
    owner = b.client.all(REPLICASET)[0]
    b.client.put(POD, objects.pod("web-0", owner=(REPLICASET, owner), ready=True))
    await b.settle(KEY)
    assert b.client.all(REPLICASET)[0].status.available_replicas == 0
    (wait,) = b.plan(KEY)
    assert isinstance(wait, RequeueAfter)
    assert 9.9 < wait.delay_s < 10.1
    await b.clock.advance(wait.delay_s)
    await b.settle(KEY)
    assert b.client.all(REPLICASET)[0].status.available_replicas == 1


def test_one_that_is_being_deleted_changes_no_pods() -> None:
    b = bench(3, pods=1)
    b.client.edit(REPLICASET, "web", "default", lambda obj: setattr(obj.metadata, "deletion_timestamp", objects.NOW))
    assert [type(action).__name__ for action in writes(b.plan(KEY))] == ["UpdateStatus"]


def test_an_orphan_wakes_the_sets_that_select_it() -> None:
    b = bench()
    for name, labels in (("other", {"app": "other"}), ("pair", {"app": "web", "tier": "front"})):
        b.client.put(REPLICASET, objects.replica_set(name, **labels))
    loose = objects.replica_set("loose")
    loose.spec.selector.match_labels = {}
    loose.spec.selector.match_expressions = [LabelSelectorRequirement(key="app", operator="Exists")]
    b.client.put(REPLICASET, loose)
    watch = next(watch for watch in replicaset.SPEC.watches if watch.kind is POD)

    def woken(**labels: str) -> set[str]:
        return {key.name for key in watch.keys(b.listers, objects.pod("orphan", **labels))}

    assert woken(app="web") == {"web", "loose"}
    assert woken(app="web", tier="front") == {"web", "pair", "loose"}
    assert woken(tier="front") == set()
