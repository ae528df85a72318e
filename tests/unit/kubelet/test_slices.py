from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.kubelet.cgroups import SYSTEMD, CgroupTree, Hierarchies, container_cgroup, pod_cgroup
from tiphys.kubelet.systemd.slices import Slices, Weights, properties, slice_of, uid_of

INFINITY = 2**64 - 1
UID = "0f1e-2d"


def best_effort() -> Pod:
    made = Pod()
    made.metadata.uid = UID
    return made


@pytest.mark.parametrize(
    ("cgroup", "path"),
    [
        ("/kubepods", "/kubepods.slice"),
        (
            "/kubepods/burstable/pod1-2",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice",
        ),
        ("/my-node/kubepods", "/my_node.slice/my_node-kubepods.slice"),
    ],
)
def test_a_slice_is_named_after_those_above_it(cgroup: str, path: str) -> None:
    assert slice_of(cgroup) == path


@given(st.from_regex(r"[0-9a-f]{4,12}(-[0-9a-f]{4}){0,4}", fullmatch=True))
def test_a_pod_is_known_by_its_slice(uid: str) -> None:
    assert uid_of(slice_of(f"/kubepods/besteffort/pod{uid}").rpartition("/")[2]) == uid


@pytest.mark.parametrize("name", ["kubepods-burstable.slice", "cri-containerd-ab.scope", "pod1"])
def test_what_is_no_pods_slice_names_none(name: str) -> None:
    assert uid_of(name) == ""


def test_a_pods_and_a_containers_place_with_either_driver() -> None:
    path = pod_cgroup("/", best_effort(), SYSTEMD)
    assert path.endswith("/kubepods-besteffort-pod0f1e_2d.slice")
    assert container_cgroup(path, "abc") == f"{path}/cri-containerd-abc.scope"
    assert container_cgroup(pod_cgroup("/", best_effort()), "abc") == f"/kubepods/besteffort/pod{UID}/abc"


@pytest.mark.parametrize(
    ("unified", "names"), [(True, {"CPUWeight": 39, "MemoryMax": 5}), (False, {"CPUShares": 1024, "MemoryLimit": 5})]
)
def test_limits_in_the_words_of_each_version_of_cgroups(unified: bool, names: dict[str, int]) -> None:
    told = dict(properties("x.slice", Weights(1024, 39, 500_000, 5, 0), unified=unified))
    assert {name: told[name] for name in names} == {name: ("t", number) for name, number in names.items()}
    assert told["CPUQuotaPerSecUSec"] == ("t", 500_000)
    assert told["TasksMax"] == ("t", INFINITY)


class Told(Slices):
    """What systemd would be asked."""

    def __init__(self) -> None:
        super().__init__(unified=False)
        self.asked: list[tuple[str, str]] = []

    def ensure(self, path: str, wanted: Weights) -> None:
        self.asked.append(("ensure", path.rpartition("/")[2]))

    def end(self, path: str) -> None:
        self.asked.append(("end", path.rpartition("/")[2]))


async def test_systemd_is_asked_for_each_cgroup_before_it_is_written(tmp_path: Path) -> None:
    told = Told()
    tree = CgroupTree("/", Hierarchies(None, {"cpu": tmp_path}, ()), slices=told)
    await tree.ensure_pod(best_effort())
    assert told.asked[0] == ("ensure", "kubepods-besteffort-pod0f1e_2d.slice")
    assert (tmp_path / tree.path(best_effort()).lstrip("/") / "cpu.shares").read_text() == "2"
    assert list(tree.pods()) == [UID]
    (tmp_path / tree.path(best_effort()).lstrip("/") / "cpu.shares").unlink()
    (tmp_path / tree.path(best_effort()).lstrip("/") / "cpu.cfs_quota_us").unlink()
    assert await tree.remove_pod(best_effort())
    assert told.asked[-1] == ("end", "kubepods-besteffort-pod0f1e_2d.slice")
    assert list(tree.pods()) == []
