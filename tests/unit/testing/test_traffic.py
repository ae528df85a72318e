"""Which requests a fault strikes."""

from __future__ import annotations

import pytest

from tiphys.apiserver.request import RequestInfo
from tiphys.testing.clock import FakeClock
from tiphys.testing.picture import state_of
from tiphys.testing.traffic import Fault, Traffic

UPDATE = RequestInfo(
    verb="update", path="/", group="apps", resource="deployments", subresource="status", namespace="team-a", name="web"
)


@pytest.mark.parametrize(
    ("fault", "struck"),
    [
        (Fault(), True),
        (Fault(verbs=["update", "patch"]), True),
        (Fault(verbs=["get"]), False),
        (Fault(resource="deployments/status"), True),
        (Fault(resource="deployments"), False),
        (Fault(resource="deployments*"), True),
        (Fault(group=""), False),
        (Fault(namespace="team-*"), True),
        (Fault(name="other"), False),
        (Fault(user="alice"), True),
        (Fault(user="bob"), False),
        (Fault(times=1, struck=1), False),
    ],
)
def test_every_selector_must_match(fault: Fault, struck: bool) -> None:
    assert fault.matches(UPDATE, "alice") is struck


def test_chance_is_the_same_with_the_same_seed() -> None:
    def strikes() -> list[bool]:
        traffic = Traffic(FakeClock(), seed=7)
        traffic.add(Fault(chance=0.5))
        return [traffic._fault(UPDATE, "") is not None for _ in range(50)]

    assert strikes() == strikes()
    assert 10 < sum(strikes()) < 40


@pytest.mark.parametrize(
    ("kind", "value", "line"),
    [
        ("Pod", {"metadata": {}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}, "Running; on n"),
        (
            "Pod",
            {
                "metadata": {},
                "status": {
                    "phase": "Pending",
                    "conditions": [
                        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2"}
                    ],
                },
            },
            "Pending; PodScheduled=False (Unschedulable: 0/2)",
        ),
        ("ConfigMap", {"metadata": {"deletionTimestamp": "x", "finalizers": ["a/b"]}}, "being deleted, waits for a/b"),
        ("Deployment", {"metadata": {}, "spec": {"replicas": 3}, "status": {}}, "0/3 ready"),
        ("Node", {"metadata": {}, "status": {"conditions": [{"type": "DiskPressure", "status": "False"}]}}, ""),
        ("Thing", {"metadata": {}, "spec": {}, "status": "a word"}, ""),
    ],
)
def test_an_object_s_state_is_one_line(kind, value, line) -> None:
    assert state_of(kind, value) == line
