"""Pieces of the CSI controller and of the directory driver that need no kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiphys.addons.csi_controller import parameters as p
from tiphys.addons.csi_directory.driver import DirectoryDriver, check_capabilities, size_of
from tiphys.addons.csi_directory.images import Images, VolumeFacts
from tiphys.api.csi import controller as c
from tiphys.api.csi.volume import AccessMode, CapacityRange, MountVolume, Topology, VolumeCapability, access_mode
from tiphys.api.kind import new
from tiphys.api.kinds import PERSISTENTVOLUMECLAIM
from tiphys.api.kinds.core.references import TopologySelectorLabelRequirement, TopologySelectorTerm
from tiphys.client.sockets import Refused

MIB = 1 << 20


@pytest.mark.parametrize(
    ("modes", "distinguishes", "number"),
    [
        (["ReadWriteOnce"], False, 1),
        (["ReadWriteOnce"], True, 7),
        (["ReadWriteOncePod"], True, 6),
        (["ReadWriteOncePod"], False, 1),
        (["ReadOnlyMany"], True, 3),
        (["ReadWriteMany", "ReadOnlyMany"], True, 5),
    ],
)
def test_access_modes(modes: list[str], distinguishes: bool, number: int) -> None:
    assert access_mode(modes, distinguishes_writers=distinguishes).mode == number


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        (None, 1024 * MIB),
        (CapacityRange(required_bytes=1), MIB),
        (CapacityRange(required_bytes=MIB + 1), 2 * MIB),
        (CapacityRange(limit_bytes=5 * MIB), 5 * MIB),
        (CapacityRange(required_bytes=MIB + 1, limit_bytes=MIB + 2), "OUT_OF_RANGE"),
    ],
)
def test_sizes(wanted: Any, size: Any) -> None:
    if isinstance(size, int):
        assert size_of(wanted) == size
        return
    with pytest.raises(Refused) as caught:
        size_of(wanted)
    assert caught.value.code == size


@pytest.mark.parametrize(
    "capability",
    [
        VolumeCapability(mount=MountVolume(), access_mode=AccessMode(mode=5)),
        VolumeCapability(mount=MountVolume(fs_type="zfs"), access_mode=AccessMode(mode=1)),
    ],
)
def test_what_one_node_cannot_do_is_refused(capability: VolumeCapability) -> None:
    with pytest.raises(Refused):
        check_capabilities([capability])


async def test_volumes_are_made_once_within_the_capacity_and_grow(tmp_path: Path) -> None:
    images = Images(tmp_path, 10 * MIB)
    assert (await images.create("a", VolumeFacts(4 * MIB))).size_bytes == 4 * MIB
    assert (await images.create("a", VolumeFacts(4 * MIB))).size_bytes == 4 * MIB
    with pytest.raises(Refused, match="another size"):
        await images.create("a", VolumeFacts(5 * MIB))
    with pytest.raises(Refused, match="are left"):
        await images.create("b", VolumeFacts(7 * MIB))
    assert images.grow("a", 6 * MIB) == 6 * MIB
    assert images.path("a").stat().st_size == 6 * MIB
    assert images.grow("a", 5 * MIB) == 6 * MIB
    with pytest.raises(Refused):
        images.grow("a", 11 * MIB)
    assert images.free_bytes() == 4 * MIB


async def test_a_clone_has_the_content_of_its_source(tmp_path: Path) -> None:
    images = Images(tmp_path, 10 * MIB)
    await images.create("a", VolumeFacts(MIB))
    images.path("a").write_bytes(b"x" * MIB)
    await images.create("b", VolumeFacts(2 * MIB, source="a"))
    assert images.path("b").read_bytes() == b"x" * MIB + bytes(MIB)
    with pytest.raises(Refused, match="more than"):
        await images.create("c", VolumeFacts(MIB, source="b"))


async def test_a_snapshot_is_no_volume_and_counts_for_the_capacity(tmp_path: Path) -> None:
    images = Images(tmp_path, 10 * MIB)
    await images.create("v", VolumeFacts(4 * MIB))
    images.path("v").write_bytes(b"then" + b"\0" * (4 * MIB - 4))
    first = await images.snapshot("s", "v", 1000)
    assert await images.snapshot("s", "v", 2000) == first
    assert (first.snapshot_of, first.created_s, images.free_bytes()) == ("v", 1000, 2 * MIB)
    with pytest.raises(Refused, match="does not exist"):
        images.existing("s")
    with pytest.raises(Refused, match="of another volume"):
        await images.snapshot("s", "other", 1)
    images.path("v").write_bytes(b"now!")
    await images.delete("v")
    await images.create("w", VolumeFacts(4 * MIB, source="s"))
    assert images.path("w").read_bytes()[:4] == b"then"


async def test_snapshots_are_listed_in_pages(tmp_path: Path) -> None:
    images = Images(tmp_path, 100 * MIB)
    driver = DirectoryDriver(images, "n1", "v1")
    for volume in ("v", "w"):
        await images.create(volume, VolumeFacts(MIB))
    for number in range(3):
        made = c.CreateSnapshotRequest(name=f"s{number}", source_volume_id="w" if number == 1 else "v")
        await driver._create_snapshot(made)

    async def listed(**fields: Any) -> tuple[list[str], str]:
        answer = await driver._list_snapshots(c.ListSnapshotsRequest(**fields))
        return [each.snapshot.snapshot_id for each in answer.entries if each.snapshot], answer.next_token

    assert await listed() == (["s0", "s1", "s2"], "")
    assert await listed(max_entries=2) == (["s0", "s1"], "2")
    assert await listed(max_entries=2, starting_token="2") == (["s2"], "")
    assert await listed(source_volume_id="v") == (["s0", "s2"], "")
    assert await listed(snapshot_id="s1") == (["s1"], "")
    with pytest.raises(Refused, match="not ours"):
        await listed(starting_token="x")
    await driver._delete_snapshot(c.DeleteSnapshotRequest(snapshot_id="s1"))
    await driver._delete_snapshot(c.DeleteSnapshotRequest(snapshot_id="v"))
    assert await listed() == (["s0", "s2"], "") and images.existing("v")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a..b"])
def test_names_that_leave_the_directory_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused):
        Images(tmp_path, MIB).path(name)


def test_secrets_of_classes() -> None:
    claim = new(PERSISTENTVOLUMECLAIM, "c", "ns")
    claim.metadata.annotations = {"team": "red"}
    given = {
        "csi.storage.k8s.io/node-stage-secret-name": "${pvc.name}-${pvc.annotations['team']}",
        "csi.storage.k8s.io/node-stage-secret-namespace": "${pvc.namespace}",
        "type": "fast",
    }
    found = p.secret("node-stage", given, "pv", claim)
    assert found is not None
    assert (found.name, found.namespace) == ("c-red", "ns")
    assert p.secret("node-publish", given, "pv", claim) is None
    assert p.for_driver(given) == {"type": "fast"}
    with pytest.raises(p.BadParameters, match="must be given together"):
        p.secret("node-stage", {"csi.storage.k8s.io/node-stage-secret-name": "x"}, "pv", claim)
    with pytest.raises(p.BadParameters, match="unknown token"):
        p.secret("node-stage", {**given, "csi.storage.k8s.io/node-stage-secret-name": "${what}"}, "pv", claim)


def test_places() -> None:
    made = p.affinity([Topology(segments={"zone": "a"})])
    assert made is not None and made.required is not None
    (term,) = made.required.node_selector_terms
    assert [(each.key, each.values) for each in term.match_expressions] == [("zone", ["a"])]
    assert p.affinity([]) is None
    assert p.requirement([], {}, strict=False) is None


ZONES = [{"zone": "a"}, {"zone": "b"}, {"zone": "a"}]


@pytest.mark.parametrize(
    ("chosen", "strict", "wanted"),
    [
        ({}, False, [{"zone": "a"}, {"zone": "b"}]),
        ({"zone": "b"}, False, [{"zone": "b"}, {"zone": "a"}]),
        ({"zone": "b"}, True, [{"zone": "b"}]),
        ({"zone": "c"}, False, [{"zone": "c"}, {"zone": "a"}, {"zone": "b"}]),
    ],
)
def test_where_a_volume_may_be(chosen: dict[str, str], strict: bool, wanted: list[dict[str, str]]) -> None:
    made = p.requirement(ZONES, chosen, strict=strict)
    assert made is not None
    assert [each.segments for each in made.requisite] == [each.segments for each in made.preferred] == wanted


def test_a_class_allows_every_combination_of_its_values() -> None:
    term = TopologySelectorTerm(
        match_label_expressions=[
            TopologySelectorLabelRequirement(key="zone", values=["a", "b"]),
            TopologySelectorLabelRequirement(key="rack", values=["1", "2"]),
        ]
    )
    other = TopologySelectorTerm(match_label_expressions=[TopologySelectorLabelRequirement(key="zone", values=["c"])])
    places = [(each["zone"], each.get("rack")) for each in p.allowed([term, other])]
    assert places == [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"), ("c", None)]
