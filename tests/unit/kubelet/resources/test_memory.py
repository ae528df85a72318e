from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.kubelet.resources.test_cpus import container, pod

from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import Quantity
from tiphys.kubelet.resources.grants import NotAllocated
from tiphys.kubelet.resources.hints import ANYWHERE, Hint
from tiphys.kubelet.resources.memory.banks import Bank, Block, read_banks, used
from tiphys.kubelet.resources.memory.static import PinnedMemory

GI = 1 << 30
# Two NUMA nodes of 9 GiB, of which 1 is reserved; the first one has huge pages, too.
PAGES = Bank(GI)
BANKS = {0: {"memory": Bank(9 * GI, GI), "hugepages-2Mi": PAGES}, 1: {"memory": Bank(9 * GI, GI)}}


def wanting(name: str, memory: str, pages: str = "") -> Container:
    made = container(name, "1")
    for amounts in (made.resources.requests, made.resources.limits):
        amounts["memory"] = Quantity(memory)
        if pages:
            amounts["hugepages-2Mi"] = Quantity(pages)
    return made


def memory_of(directory: Path) -> PinnedMemory:
    return PinnedMemory(BANKS, directory / "state")


def give(memory: PinnedMemory, to: Pod, near: Hint = ANYWHERE) -> None:
    for each in (*to.spec.init_containers, *to.spec.containers):
        memory.allocate(to, each, near)


def nodes(*numbers: int, preferred: bool = True) -> Hint:
    return Hint(frozenset(numbers), preferred)


def test_one_node_serves_where_one_suffices(tmp_path: Path) -> None:
    memory, one = memory_of(tmp_path), pod("a", wanting("x", "5Gi"))
    assert memory.hints(one, one.spec.containers[0]) == [nodes(0), nodes(1), nodes(0, 1, preferred=False)]
    give(memory, one)
    assert memory.of("a", "x") == [Block([0], "memory", 5 * GI)] and memory.nodes_of("a", "x") == {0}
    assert memory.hints(one, one.spec.containers[0]) == memory.hints_of_pod(one) == [nodes(0)]
    # The first has served alone: it is in no group.
    big = pod("b", wanting("x", "6Gi"))
    assert memory.hints_of_pod(big) == [nodes(1)]


def test_a_group_serves_what_no_node_can(tmp_path: Path) -> None:
    memory, big = memory_of(tmp_path), pod("a", wanting("x", "10Gi"))
    assert memory.hints_of_pod(big) == [nodes(0, 1)]
    give(memory, big)
    assert memory.nodes_of("a", "x") == {0, 1}
    # Small ones find no node that is free for them alone; the group still serves its like.
    assert memory.hints_of_pod(pod("b", wanting("x", "1Gi"))) == [nodes(0, 1, preferred=False)]
    memory.release("a")
    assert memory.hints_of_pod(pod("b", wanting("x", "1Gi"))) == [nodes(0), nodes(1), nodes(0, 1, preferred=False)]


def test_huge_pages_come_from_the_same_node(tmp_path: Path) -> None:
    memory = memory_of(tmp_path)
    give(memory, pod("a", wanting("x", "1Gi", "512Mi")))
    assert {block.type: block.numa_affinity for block in memory.of("a", "x")} == {"memory": [0], "hugepages-2Mi": [0]}
    with pytest.raises(NotAllocated, match=r"\[memorymanager\] failed to get the default NUMA affinity, no NUMA nodes"):
        give(memory, pod("b", wanting("x", "1Gi", "513Mi")))


def test_too_much_is_refused_in_upstreams_words(tmp_path: Path) -> None:
    with pytest.raises(NotAllocated) as refused:
        give(memory_of(tmp_path), pod("a", wanting("x", "17Gi")))
    assert refused.value.rejection == (
        "UnexpectedAdmissionError",
        "Allocate failed due to [memorymanager] failed to get the default NUMA affinity, no NUMA nodes with enough "
        "memory is available, which is unexpected",
    )


def test_nodes_that_the_topology_chose(tmp_path: Path) -> None:
    memory = memory_of(tmp_path)
    give(memory, pod("a", wanting("x", "1Gi")), nodes(1))
    assert memory.nodes_of("a", "x") == {1}
    give(memory, pod("b", wanting("x", "1Gi")), nodes(1, preferred=False))
    with pytest.raises(NotAllocated, match="failed to find NUMA nodes to extend the current topology hint"):
        give(memory, pod("c", wanting("x", "8Gi")), nodes(1))


def test_an_init_container_hands_its_memory_on(tmp_path: Path) -> None:
    memory = memory_of(tmp_path)
    give(memory, pod("a", wanting("x", "2Gi"), wanting("y", "3Gi"), init=(wanting("i", "4Gi"),)))
    blocks = [*memory.of("a", "i"), *memory.of("a", "x"), *memory.of("a", "y")]
    assert [block.size // GI for block in blocks] == [0, 2, 3]
    assert used(BANKS, blocks)[0].free["memory"] == 3 * GI


def test_others_take_memory_from_anywhere(tmp_path: Path) -> None:
    memory, burstable = memory_of(tmp_path), pod("a", container("x", "1"))
    burstable.spec.containers[0].resources.limits = {}
    give(memory, burstable)
    assert memory.hints(burstable, burstable.spec.containers[0]) is memory.hints_of_pod(burstable) is None
    assert not memory.nodes_of("a", "x")


def test_who_has_what_is_remembered(tmp_path: Path) -> None:
    give(memory_of(tmp_path), pod("a", wanting("x", "5Gi")))
    state = json.loads((tmp_path / "state").read_bytes())
    assert state["policyName"] == "Static"
    assert state["entries"] == {"a": {"x": [{"numaAffinity": [0], "type": "memory", "size": 5 * GI}]}}
    assert state["machineState"]["0"]["memoryMap"]["memory"] == {
        "total": 9 * GI, "systemReserved": GI, "allocatable": 8 * GI, "reserved": 5 * GI, "free": 3 * GI,
    }  # fmt: skip
    again = memory_of(tmp_path)
    assert again.nodes_of("a", "x") == {0}
    again.retain(set())
    assert not memory_of(tmp_path).nodes_of("a", "x")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "drain the node and delete it"),
        ('{"policyName":"None","machineState":{}}', 'differs from state checkpoint policy "None"'),
        ('{"policyName":"Static","machineState":{}}', "the expected machine state is different from the real one"),
    ],
)
def test_a_state_of_another_machine_is_told(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "state").write_text(content)
    with pytest.raises(RuntimeError, match=told):
        memory_of(tmp_path)


def test_a_state_with_more_than_there_is_is_told(tmp_path: Path) -> None:
    give(memory_of(tmp_path), pod("a", wanting("x", "1Gi")))
    path = tmp_path / "state"
    path.write_text(path.read_text().replace('"numaAffinity":[0]', '"numaAffinity":[7]'))
    with pytest.raises(RuntimeError, match="NUMA node 7, which does not exist"):
        memory_of(tmp_path)


def test_something_must_be_reserved(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="you should specify the system reserved memory"):
        PinnedMemory({0: {"memory": Bank(GI)}}, tmp_path / "state")


def test_this_machine_is_read() -> None:
    banks = read_banks({0: {"memory": 100 << 20}})
    assert banks[0]["memory"].reserved == 100 << 20 and banks[0]["memory"].allocatable > 0
    with pytest.raises(ValueError, match="references a NUMA node 99 that does not exist"):
        read_banks({99: {"memory": 1}})
