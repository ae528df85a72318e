"""Which images may go, and when."""

from __future__ import annotations

from tiphys.kubelet.cri.images import Image
from tiphys.kubelet.images.collector import Seen, removable


def image(name: str, *, digests: bool = True, pinned: bool = False) -> Image:
    return Image(
        id=name, repo_tags=[f"{name}:1"], repo_digests=[f"{name}@x"] if digests else [], size=10, pinned=pinned
    )


def test_least_recently_used_first() -> None:
    images = [image(name) for name in ("new", "never", "old", "young", "busy")]
    images += [image("archive", digests=False), image("pinned", pinned=True), image("pause"), image("unseen")]
    seen = {i.id: Seen(1.0) for i in images if i.id != "unseen"}
    seen |= {"old": Seen(5.0, 100.0), "new": Seen(2.0, 200.0), "young": Seen(950.0)}
    found = removable(images, seen, {"busy"}, "pause:1", 1000.0, 120.0)
    assert [i.id for i in found] == ["never", "old", "new"]
