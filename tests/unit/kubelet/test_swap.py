from __future__ import annotations

import pytest

from tiphys.api.codec import from_json
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.kubelet.capacity import Capacity
from tiphys.kubelet.cgroups import container_resources
from tiphys.kubelet.swap import swap_bytes

CAPACITY = Capacity(2000, 1000, 1, 110, swap_bytes=500)


def make_pod(resources: dict[str, dict[str, str]], **spec: object) -> Pod:
    containers = [{"name": "c", "resources": resources}, {"name": "other", "resources": {"requests": {"cpu": "1"}}}]
    return from_json(Pod, {"spec": {"containers": containers, **spec}})


@pytest.mark.parametrize(
    ("resources", "spec", "behaviour", "expected"),
    [
        ({"requests": {"memory": "100"}}, {}, "LimitedSwap", 50),
        ({"requests": {"memory": "100"}}, {}, "NoSwap", 0),
        ({"requests": {"memory": "100"}, "limits": {"memory": "100"}}, {}, "LimitedSwap", 0),
        ({"requests": {"memory": "100"}, "limits": {"memory": "200"}}, {}, "LimitedSwap", 50),
        ({}, {}, "LimitedSwap", 0),
        ({"requests": {"memory": "100"}}, {"priority": 2_000_000_000}, "LimitedSwap", 0),
    ],
)
def test_a_container_swaps_by_its_share_of_the_memory(
    resources: dict[str, dict[str, str]], spec: dict[str, object], behaviour: str, expected: int
) -> None:
    pod = make_pod(resources, **spec)
    assert swap_bytes(pod, pod.spec.containers[0], CAPACITY, behaviour) == expected


def test_nothing_is_said_of_swap_where_the_kernel_cannot_limit_it() -> None:
    pod = make_pod({"requests": {"memory": "100"}})
    told = [
        container_resources(pod, pod.spec.containers[0], CAPACITY, unified=True, swap=swap).unified.get(
            "memory.swap.max"
        )
        for swap in ("", "NoSwap", "LimitedSwap")
    ]
    assert told == [None, "0", "50"]
