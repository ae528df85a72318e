from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiphys.kubelet.configuration import FIELDS, BadConfiguration, configured, load, shown
from tiphys.kubelet.reservations import Reservations, check_memory, reservations
from tiphys.kubelet.settings import KubeletSettings

PLAIN = KubeletSettings("n", "10.0.0.1", Path("/x"), Path("/s"))


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "kubelet.yaml"
    path.write_text(
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
        "maxPods: 7\ncontainerLogMaxSize: 1Mi\nshutdownGracePeriod: 1m30s\nshutdownGracePeriodCriticalPods: 10s\n"
        "evictionHard:\n  memory.available: 50Mi\npodPidsLimit: -1\n"
    )
    made = load(PLAIN, path)
    assert (made.max_pods, made.container_log_max_bytes, made.pod_pids_limit) == (7, 1 << 20, 0)
    assert (made.shutdown_grace_s, made.shutdown_grace_critical_s) == (90, 10)
    assert made.eviction_hard == {"memory.available": "50Mi"} and made.node_name == "n"


def test_what_is_shown_can_be_read_again() -> None:
    assert configured(PLAIN, shown(PLAIN)) == PLAIN
    assert len({field.name for field in FIELDS}) == len(FIELDS)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"maxPodz": 1}, "maxPodz: unknown field"),
        ({"maxPods": "many"}, "maxPods: must be a whole number"),
        ({"imageGCHighThresholdPercent": 101}, "between 0 and 100"),
        ({"shutdownGracePeriod": "1 hour"}, "shutdownGracePeriod: time:"),
        ({"shutdownGracePeriod": "5s", "shutdownGracePeriodCriticalPods": "6s"}, "must be <= shutdownGracePeriod"),
        ({"cpuManagerPolicy": "static"}, "needs reservedSystemCPUs"),
        ({"cpuManagerPolicy": "dynamic"}, "must be one of none, static"),
        ({"reservedSystemCPUs": "x"}, "reservedSystemCPUs: "),
        ({"cpuManagerPolicyOptions": {"align-by-socket": "true"}}, "Alpha-level Options not enabled"),
        ({"topologyManagerScope": "node"}, "must be one of container, pod"),
        ({"topologyManagerPolicyOptions": {"x": "y"}}, "unknown Topology Manager Policy option"),
        ({"memoryManagerPolicy": "static"}, "must be one of None, Static"),
        ({"reservedMemory": [{"numaNode": 0, "limits": {"cpu": "1"}}]}, 'limit type "cpu" for NUMA node 0'),
        ({"reservedMemory": [{"numaNode": 0, "limits": {"memory": "0"}}]}, "may not be zero"),
        ({"reservedMemory": [{"numaNode": 0, "limits": {"memory": "1"}}] * 2}, "duplicate value"),
        ({"kubeReserved": {"pid": "100"}}, "pid cannot be reserved"),
        ({"shutdownGracePeriodByPodPriority": [{"priority": 1}]}, "shutdownGracePeriodByPodPriority: "),
        ({"kind": "Pod"}, "not a KubeletConfiguration"),
    ],
)
def test_what_is_wrong_is_named(document: dict[str, Any], told: str) -> None:
    with pytest.raises(BadConfiguration, match=told):
        configured(PLAIN, document)


def test_what_is_reserved_is_not_allocatable() -> None:
    made = configured(
        PLAIN,
        {
            "kubeReserved": {"cpu": "500m", "memory": "1Gi"},
            "systemReserved": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "2Gi"},
            "evictionHard": {"memory.available": "10%"},
            "cpuManagerPolicy": "static",
        },
    )
    gi = 1 << 30
    reserved = reservations(made, 10 * gi, 100 * gi, 0)
    assert reserved == Reservations(1500, 3 * gi, 2 * gi)
    assert reservations(made, 10 * gi, 100 * gi, 3).cpu_milli == 3000
    assert reservations(PLAIN, 10 * gi, 100 * gi, 0) == Reservations(0, 100 << 20, 10 * gi)
    check_memory({0: {"memory": gi}, 1: {"memory": 2 * gi}}, reserved)
    with pytest.raises(ValueError, match='the total amount "1Gi" of type "memory" is not equal to the value "3Gi"'):
        check_memory({0: {"memory": gi}}, reserved)


def test_numa_memory_is_shown_as_it_is_read() -> None:
    given = {"reservedMemory": [{"numaNode": 1, "limits": {"memory": "1Gi", "hugepages-2Mi": "4Mi"}}]}
    made = configured(PLAIN, given)
    assert made.reserved_memory == {1: {"memory": 1 << 30, "hugepages-2Mi": 4 << 20}}
    assert shown(made)["reservedMemory"] == given["reservedMemory"]


@pytest.mark.parametrize("text", ["- 1\n", "a: [\n", "maxPods: 1\nmaxPods: 2\n"])
def test_a_file_that_is_no_document(tmp_path: Path, text: str) -> None:
    (tmp_path / "kubelet.yaml").write_text(text)
    with pytest.raises(BadConfiguration, match=r"kubelet\.yaml: "):
        load(PLAIN, tmp_path / "kubelet.yaml")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="No such file"):
        load(PLAIN, tmp_path / "none")
