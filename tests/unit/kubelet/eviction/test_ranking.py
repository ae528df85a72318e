"""Who goes first, who never, and with which words."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.volumes import EmptyDirVolumeSource, Volume
from tiphys.api.meta.schema import Quantity
from tiphys.kubelet.admission import pressed
from tiphys.kubelet.eviction.ranking import PodUse, eviction_of, is_critical, over_limit, rank, shown
from tiphys.kubelet.eviction.thresholds import Amount, Observation, Threshold
from tiphys.kubelet.stats.disk import DiskUse
from tiphys.testing.builders import pod, toleration

MI = 1 << 20


def made(name: str, *, memory: str = "", priority: int = 0, limit: str = "") -> Pod:
    found = pod(name)
    found.spec.priority = priority
    resources = found.spec.containers[0].resources
    resources.requests = {"memory": Quantity(memory)} if memory else {}
    resources.limits = {"ephemeral-storage": Quantity(limit)} if limit else {}
    return found


def names(uses: list[PodUse]) -> list[str]:
    return [use.pod.metadata.name for use in uses]


def test_memory() -> None:
    uses = [
        PodUse(made("within", memory="100Mi"), 90 * MI),
        PodUse(made("important", memory="10Mi", priority=5), 900 * MI),
        PodUse(made("a-little-over", memory="100Mi"), 110 * MI),
        PodUse(made("far-over"), 50 * MI),
    ]
    assert names(rank(uses, "memory")) == ["far-over", "a-little-over", "important", "within"]


def test_processes_go_by_priority_alone() -> None:
    uses = [
        PodUse(made("few"), processes=3),
        PodUse(made("many"), processes=9),
        PodUse(made("vip", priority=1), processes=99),
    ]
    assert names(rank(uses, "pids")) == ["many", "few", "vip"]


def test_disk_and_inodes() -> None:
    uses = [PodUse(made("bytes"), disk=DiskUse(100, 1)), PodUse(made("inodes"), disk=DiskUse(1, 100))]
    assert names(rank(uses, "ephemeral-storage")) == ["bytes", "inodes"]
    assert names(rank(uses, "inodes")) == ["inodes", "bytes"]


def test_the_words() -> None:
    one = made("one", memory="1Mi")
    name = one.spec.containers[0].name
    use = PodUse(one, 3 * MI, containers_memory={name: 3 * MI})
    found = eviction_of(use, Threshold("memory.available", Amount(100 * MI)), Observation(1000, 1 << 30))
    assert found.message == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 1000. "
        f"Container {name} was using 3Mi, request is 1Mi, has larger consumption of memory. "
    )


@pytest.mark.parametrize(("amount", "text"), [(0, "0"), (1024, "1Ki"), (3 << 30, "3Gi"), (1025, "1025")])
def test_amounts(amount: int, text: str) -> None:
    assert shown(amount) == text


def test_critical_pods() -> None:
    assert is_critical(made("system", priority=2_000_000_000))
    assert not is_critical(made("user", priority=1_000_000_000))
    static = made("static")
    static.metadata.annotations = {"kubernetes.io/config.source": "file"}
    assert is_critical(static)


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ({"volumes": {"scratch": 11 * MI}}, 'Usage of EmptyDir volume "scratch" exceeds the limit "10Mi". '),
        (
            {"disk": DiskUse(21 * MI, 1)},
            "Pod ephemeral local storage usage exceeds the total limit of containers 20Mi. ",
        ),
        ({"containers_disk": {"main": 21 * MI}}, 'Container main exceeded its local ephemeral storage limit "20Mi". '),
        ({"volumes": {"scratch": 10 * MI}, "disk": DiskUse(20 * MI, 1)}, None),
    ],
)
def test_limits_of_its_own(used: dict[str, Any], expected: str | None) -> None:
    full = made("full", limit="20Mi")
    full.spec.containers[0].name = "main"
    full.spec.volumes = [Volume(name="scratch", empty_dir=EmptyDirVolumeSource(size_limit=Quantity("10Mi")))]
    found = over_limit(PodUse(full, **used))
    assert (found.message if found is not None else None) == expected


def test_admission_under_pressure() -> None:
    best_effort, burstable = made("a"), made("b", memory="1Mi")
    assert pressed(best_effort, ()) is None
    assert pressed(best_effort, ("MemoryPressure",)) == ("Evicted", "The node had condition: [MemoryPressure]. ")
    assert pressed(burstable, ("MemoryPressure",)) is None
    assert pressed(burstable, ("DiskPressure", "MemoryPressure")) is not None
    best_effort.spec.tolerations = [toleration("node.kubernetes.io/memory-pressure", operator="Exists")]
    assert pressed(best_effort, ("MemoryPressure",)) is None
    assert pressed(made("system", priority=2_000_000_000), ("DiskPressure",)) is None
