"""The manifests of examples/zones do what their page says: read, defaulted and placed as in a cluster."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from tiphys.api import codec
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.scheduler.engine import Engine
from tiphys.testing import builders as b
from tiphys.testing.clock import FakeClock

EXAMPLE = Path(__file__).parents[3] / "examples" / "zones"
REGION, ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"


def documents() -> dict[tuple[str, str], dict[str, Any]]:
    found = [doc for file in sorted(EXAMPLE.glob("*.yaml")) for doc in yaml.safe_load_all(file.read_text())]
    return {(doc["kind"], doc["metadata"]["name"]): doc for doc in found}


def pods(name: str) -> list[Pod]:
    """What the Deployment's pods look like once the API has them."""
    docs = documents()
    deployment = docs["Deployment", name]
    made = []
    for i in range(deployment["spec"]["replicas"]):
        template = copy.deepcopy(deployment["spec"]["template"])
        template["metadata"] |= {"name": f"{name}-{i}", "namespace": "default", "uid": b.uid()}
        template["metadata"]["labels"]["pod-template-hash"] = "1"
        pod: Pod = codec.from_json(Pod, {"kind": "Pod", "apiVersion": "v1", **template})
        priority = docs["PriorityClass", pod.spec.priority_class_name]
        pod.spec.priority = priority["value"]
        pod.spec.preemption_policy = priority.get("preemptionPolicy", "PreemptLowerPriority")
        pod.spec.scheduler_name = "default-scheduler"
        if POD.prepare is not None:
            POD.prepare(pod, None)
        made.append(pod)
    return made


def place(engine: Engine, made: list[Pod]) -> dict[str, str]:
    for pod in made:
        engine.on_pod("ADDED", None, pod)
    where = {}
    while (outcome := engine.step()) is not None:
        where[outcome.item.record.name] = outcome.decision.node or outcome.message
    return where


def test_the_parts_of_the_shop_find_their_places() -> None:
    engine = Engine(FakeClock())
    zone_of = {}
    for i in range(6):
        zone_of[f"n{i}"] = f"eu-{i % 3}"
        engine.on_node("ADDED", None, b.node(f"n{i}", cpu="2", labels={REGION: "eu", ZONE: f"eu-{i % 3}"}))
    web = place(engine, pods("web"))
    assert Counter(zone_of[node] for node in web.values()) == {"eu-0": 2, "eu-1": 2, "eu-2": 2}
    assert len(set(web.values())) == 6
    cache = place(engine, pods("cache"))
    assert Counter(zone_of[node] for node in cache.values()) == {"eu-0": 1, "eu-1": 1, "eu-2": 1}
    batch = place(engine, pods("batch"))
    assert all(node in zone_of for node in batch.values())


def test_with_two_zones_the_third_is_waited_for() -> None:
    engine = Engine(FakeClock())
    for i in range(4):
        engine.on_node("ADDED", None, b.node(f"n{i}", labels={REGION: "eu", ZONE: f"eu-{i % 2}"}))
    web = list(place(engine, pods("web")).values())
    waiting = [why for why in web if why.startswith("0/4")]
    assert len(waiting) == 4  # minDomains: one per zone, until there are three
    assert "node(s) didn't match pod topology spread constraints" in waiting[0]
