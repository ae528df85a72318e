from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tiphys.api.kinds import DEPLOYMENT, POD, REPLICASET
from tiphys.api.kinds.apps.deployment import DeploymentStrategy, RollingUpdateDeployment
from tiphys.api.meta.schema import copy_of
from tiphys.controllers import _rollout, deployment
from tiphys.controllers._spec import Key
from tiphys.controllers._template import template_hash

from . import objects
from .memory import Bench

KEY = Key("default", "web")


def bench(**fields: Any) -> Bench:
    b = Bench(deployment.SPEC)
    b.client.put(DEPLOYMENT, objects.deployment(**fields))
    return b


def change(b: Bench, edit: Callable[[Any], None]) -> None:
    def bumped(obj: Any) -> None:
        edit(obj)
        obj.metadata.generation += 1

    b.client.edit(DEPLOYMENT, "web", "default", bumped)


def set_image(image: str) -> Callable[[Any], None]:
    return lambda obj: setattr(obj.spec.template.spec.containers[0], "image", image)


def sizes(b: Bench) -> dict[str, int]:
    """Replicas by image."""
    return {each.spec.template.spec.containers[0].image: each.spec.replicas for each in b.client.all(REPLICASET)}


async def run(
    b: Bench, *, available: Callable[[Any], bool] = lambda each: True, rounds: int = 30
) -> list[dict[str, int]]:
    """Lets replica sets do at once what they are asked; returns the sizes seen on the way."""
    seen = []
    for _ in range(rounds):
        await b.settle(KEY)
        if not seen or seen[-1] != sizes(b):
            seen.append(sizes(b))
        moved = False
        for each in b.client.all(REPLICASET):
            wanted = copy_of(each.status)
            wanted.replicas = each.spec.replicas
            wanted.observed_generation = each.metadata.generation
            wanted.ready_replicas = wanted.available_replicas = each.spec.replicas if available(each) else 0
            wanted.terminating_replicas = 0
            if wanted != each.status:
                moved = True
                b.client.edit(
                    REPLICASET,
                    each.metadata.name,
                    "default",
                    lambda obj, wanted=wanted: setattr(obj, "status", wanted),
                )
        if not moved:
            return seen
    raise AssertionError(f"no end of rolling: {seen}")


async def test_makes_a_replica_set_named_after_its_template() -> None:
    b = bench()
    await b.settle(KEY)
    (made,) = b.client.all(REPLICASET)
    digest = made.metadata.labels["pod-template-hash"]
    assert made.metadata.name == f"web-{digest}"
    assert made.spec.selector.match_labels == {"app": "web", "pod-template-hash": digest}
    assert made.spec.template.metadata.labels == made.spec.selector.match_labels
    assert made.metadata.annotations["deployment.kubernetes.io/revision"] == "1"
    (deployment,) = b.client.all(DEPLOYMENT)
    assert deployment.metadata.annotations["deployment.kubernetes.io/revision"] == "1"
    assert deployment.metadata.generation == 1, "the revision is no change of the deployment"
    assert b.events.events == [
        ("web", "Normal", "ScalingReplicaSet", f"Scaled up replica set {made.metadata.name} from 0 to 3")
    ]


async def test_becomes_complete() -> None:
    b = bench()
    await run(b)
    status = b.client.all(DEPLOYMENT)[0].status
    reasons = {condition.type: condition.reason for condition in status.conditions}
    assert reasons == {"Available": "MinimumReplicasAvailable", "Progressing": "NewReplicaSetAvailable"}
    assert (status.replicas, status.updated_replicas, status.available_replicas) == (3, 3, 3)


@pytest.mark.parametrize(
    ("surge", "unavailable", "most", "least"),
    [("25%", "25%", 13, 8), (1, 0, 11, 10), (0, 1, 10, 9), (0, 0, 10, 9), ("100%", "100%", 20, 0), (3, "50%", 13, 5)],
)
async def test_rolls_within_its_bounds(surge: Any, unavailable: Any, most: int, least: int) -> None:
    b = bench(replicas=10)
    rolling = RollingUpdateDeployment(max_surge=surge, max_unavailable=unavailable)
    change(
        b, lambda obj: setattr(obj.spec, "strategy", DeploymentStrategy(type="RollingUpdate", rolling_update=rolling))
    )
    await run(b)
    change(b, set_image("web:2"))
    seen = await run(b)
    assert seen[-1] == {"web:1": 0, "web:2": 10}
    assert max(sum(each.values()) for each in seen) <= most
    assert all(sum(each.values()) >= least for each in seen)


async def test_a_broken_image_stops_within_the_bounds() -> None:
    b = bench(replicas=4)
    await run(b)
    change(b, set_image("broken"))
    await run(b, available=lambda each: each.spec.template.spec.containers[0].image != "broken")
    assert sizes(b) == {"web:1": 3, "broken": 2}


async def test_undo_returns_to_the_old_set_under_a_new_revision() -> None:
    b = bench()
    await run(b)
    change(b, set_image("web:2"))
    await run(b)
    change(b, set_image("web:1"))
    await run(b)
    assert sizes(b) == {"web:1": 3, "web:2": 0}
    old = next(each for each in b.client.all(REPLICASET) if each.spec.replicas)
    assert old.metadata.annotations["deployment.kubernetes.io/revision"] == "3"
    assert old.metadata.annotations["deployment.kubernetes.io/revision-history"] == "1"
    assert b.client.all(DEPLOYMENT)[0].metadata.annotations["deployment.kubernetes.io/revision"] == "3"


async def test_scaling_in_mid_rollout_keeps_proportions() -> None:
    b = bench(replicas=10)
    await run(b)
    change(b, set_image("broken"))
    await run(b, available=lambda each: each.spec.template.spec.containers[0].image != "broken")
    before = sizes(b)
    assert before == {"web:1": 8, "broken": 5}
    change(b, lambda obj: setattr(obj.spec, "replicas", 20))
    await b.settle(KEY)
    after = sizes(b)
    assert sum(after.values()) == 25
    assert after["web:1"] > after["broken"] > before["broken"]


async def test_paused_scales_but_does_not_roll() -> None:
    b = bench()
    await run(b)
    change(b, lambda obj: setattr(obj.spec, "paused", True))
    change(b, set_image("web:2"))
    change(b, lambda obj: setattr(obj.spec, "replicas", 5))
    await run(b)
    assert sizes(b) == {"web:1": 5}
    reasons = [condition.reason for condition in b.client.all(DEPLOYMENT)[0].status.conditions]
    assert "DeploymentPaused" in reasons
    change(b, lambda obj: setattr(obj.spec, "paused", False))
    await run(b)
    assert sizes(b) == {"web:1": 0, "web:2": 5}


async def test_recreate_waits_for_the_last_old_pod() -> None:
    b = bench()
    change(b, lambda obj: setattr(obj.spec, "strategy", DeploymentStrategy(type="Recreate")))
    await run(b)
    (old,) = b.client.all(REPLICASET)
    b.client.put(POD, objects.pod("web-1", owner=(REPLICASET, old), ready=True))
    change(b, set_image("web:2"))
    await run(b)
    assert sizes(b) == {"web:1": 0}
    b.client.drop(POD, "web-1", "default")
    await run(b)
    assert sizes(b) == {"web:1": 0, "web:2": 3}


async def test_lack_of_progress_shows_after_the_deadline() -> None:
    b = bench()
    change(b, lambda obj: setattr(obj.spec, "progress_deadline_seconds", 60))
    await run(b, available=lambda each: False)
    (wait,) = b.plan(KEY)
    assert 60 < wait.delay_s <= 61
    await b.clock.advance(wait.delay_s)
    await b.settle(KEY)
    condition = _rollout.condition_of(b.client.all(DEPLOYMENT)[0].status.conditions, "Progressing")
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "ProgressDeadlineExceeded")
    name = b.client.all(REPLICASET)[0].metadata.name
    assert condition.message == f'ReplicaSet "{name}" has timed out progressing.'


async def test_old_sets_beyond_the_limit_go() -> None:
    b = bench()
    change(b, lambda obj: setattr(obj.spec, "revision_history_limit", 1))
    for number in range(1, 5):
        change(b, set_image(f"web:{number}"))
        await run(b)
    await run(b)
    assert sorted(sizes(b)) == ["web:3", "web:4"]


async def test_a_taken_name_is_a_collision() -> None:
    b = bench()
    digest = template_hash(b.client.all(DEPLOYMENT)[0].spec.template, 0)
    b.client.put(REPLICASET, objects.replica_set(f"web-{digest}", app="other"))
    await b.settle(KEY)
    assert b.client.all(DEPLOYMENT)[0].status.collision_count == 1
    assert len(b.client.all(REPLICASET)) == 2


async def test_selecting_everything_is_refused() -> None:
    b = bench()
    change(b, lambda obj: setattr(obj.spec.selector, "match_labels", {}))
    await b.settle(KEY)
    assert b.events.events[0][2:] == (
        "SelectingAll",
        "This deployment is selecting all pods. A non-empty selector is required.",
    )
    assert b.client.all(REPLICASET) == []
