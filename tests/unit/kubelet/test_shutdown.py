from __future__ import annotations

import asyncio

import pytest

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.kubelet.shutdown import NodeShutdown, groups


def pod(name: str, priority: int | None, grace_s: int | None = 30) -> Pod:
    made = Pod()
    made.metadata.name = name
    made.spec.priority, made.spec.termination_grace_period_seconds = priority, grace_s
    return made


PERIODS = ((0, 20), (1000, 5), (2_000_000_000, 10))


@pytest.mark.parametrize(
    ("priority", "seconds"),
    [(None, 20), (-5, 20), (0, 20), (999, 20), (1000, 5), (1001, 5), (2_000_000_000, 10), (2_000_001_000, 10)],
)
def test_a_pod_is_in_the_group_of_the_highest_priority_below(priority: int | None, seconds: int) -> None:
    assert [each for each, _ in groups(PERIODS, [pod("p", priority)])] == [seconds]


async def test_groups_end_one_after_another_within_their_time() -> None:
    ended: list[tuple[str, int]] = []
    told: list[str] = []

    async def end(ending: Pod, grace_s: int) -> None:
        ended.append((ending.metadata.name, grace_s))
        if ending.metadata.name == "stuck":
            await asyncio.Event().wait()

    async def tell() -> None:
        told.append(shutdown.problem)

    pods = [pod("critical", 2_000_000_000), pod("stuck", 1000), pod("plain", 0, 3), pod("long", 0, 100)]
    shutdown = NodeShutdown(((0, 20), (1000, 0), (2_000_000_000, 10)), lambda: pods, end, tell)
    assert shutdown.rejection() is None
    await shutdown.begin()
    assert ended == [("plain", 3), ("long", 20), ("stuck", 0), ("critical", 10)]
    assert told == ["node is shutting down"]
    assert shutdown.rejection() == ("NodeShutdown", "Pod was rejected as the node is shutting down.")
    await shutdown.cancelled()
    assert shutdown.rejection() is None and told[-1] == ""
