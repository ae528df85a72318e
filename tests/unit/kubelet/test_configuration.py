from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiphys.kubelet.configuration import FIELDS, BadConfiguration, configured, load, shown
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
        ({"shutdownGracePeriodByPodPriority": [{"priority": 1}]}, "shutdownGracePeriodByPodPriority: "),
        ({"kind": "Pod"}, "not a KubeletConfiguration"),
    ],
)
def test_what_is_wrong_is_named(document: dict[str, Any], told: str) -> None:
    with pytest.raises(BadConfiguration, match=told):
        configured(PLAIN, document)


@pytest.mark.parametrize("text", ["- 1\n", "a: [\n", "maxPods: 1\nmaxPods: 2\n"])
def test_a_file_that_is_no_document(tmp_path: Path, text: str) -> None:
    (tmp_path / "kubelet.yaml").write_text(text)
    with pytest.raises(BadConfiguration, match=r"kubelet\.yaml: "):
        load(PLAIN, tmp_path / "kubelet.yaml")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="No such file"):
        load(PLAIN, tmp_path / "none")
