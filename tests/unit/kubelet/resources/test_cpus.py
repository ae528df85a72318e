from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.kinds.core.pod.containers import Container, ResourceRequirements
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import Quantity
from tiphys.kubelet.resources.cpus.choosing import take
from tiphys.kubelet.resources.cpus.static import ExclusiveCpus
from tiphys.kubelet.resources.cpus.topology import Processor, parse, read_processors, written
from tiphys.kubelet.resources.grants import NotAllocated

# Two sockets, each with two cores of two threads: socket 0 has 0,4 and 1,5; socket 1 has 2,6 and 3,7.
MACHINE = [Processor(cpu, cpu % 4, cpu % 4 // 2, cpu % 4 // 2) for cpu in range(8)]


@given(st.frozensets(st.integers(0, 200)))
def test_the_kernels_notation_is_read_as_written(cpus: frozenset[int]) -> None:
    assert parse(written(cpus)) == cpus


@pytest.mark.parametrize(("cpus", "text"), [({0}, "0"), ({0, 1, 2}, "0-2"), ({0, 2, 3}, "0,2-3"), (set(), "")])
def test_notation(cpus: set[int], text: str) -> None:
    assert written(cpus) == text


@pytest.mark.parametrize("text", ["a", "3-1", "-1", "1-99999999"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize(
    ("free", "count", "taken"),
    [
        ("0-7", 4, "0-1,4-5"),  # a socket
        ("0-7", 2, "0,4"),  # a core
        ("1-7", 4, "2-3,6-7"),  # the socket that is whole
        ("1-7", 2, "1,5"),  # a core of the fuller socket
        ("1-7", 1, "4"),  # what is left of a broken core
        ("0-7", 5, "0-2,4-5"),
        ("0-7", 0, ""),
    ],
)
def test_whole_sockets_then_whole_cores_then_leftovers(free: str, count: int, taken: str) -> None:
    assert written(take(MACHINE, parse(free), count)) == taken


@given(st.frozensets(st.integers(0, 7)), st.integers(0, 8))
def test_as_many_as_asked_for_of_those_that_are_free(free: frozenset[int], count: int) -> None:
    if count > len(free):
        with pytest.raises(NotAllocated, match=f"requested={count}, available={len(free)}"):
            take(MACHINE, free, count)
    else:
        found = take(MACHINE, free, count)
        assert len(found) == count and found <= free


def container(name: str, cpu: str) -> Container:
    amounts = {"cpu": Quantity(cpu), "memory": Quantity("1Mi")}
    return Container(name=name, resources=ResourceRequirements(requests=amounts, limits=amounts))


def pod(uid: str, *containers: Container, init: tuple[Container, ...] = ()) -> Pod:
    made = Pod()
    made.metadata.uid = uid
    made.spec.containers, made.spec.init_containers = list(containers), list(init)
    return made


def test_whole_processors_are_given_once_and_remembered(tmp_path: Path) -> None:
    told: list[str] = []
    cpus = ExclusiveCpus(MACHINE, parse("0"), tmp_path / "state", lambda: told.append("changed"))
    cpus.allocate(pod("a", container("x", "2"), container("y", "1500m")), lambda _: None)
    assert written(cpus.of("a", "x")) == "1,5" and cpus.of("a", "y") == cpus.shared == parse("0,2-4,6-7")
    assert cpus.alone("a", "x") and not cpus.alone("a", "y")
    with pytest.raises(NotAllocated, match="requested=6, available=5"):
        cpus.allocate(pod("b", container("x", "6")), lambda _: None)
    again = ExclusiveCpus(MACHINE, parse("0"), tmp_path / "state", lambda: None)
    assert again.of("a", "x") == parse("1,5")
    again.retain(set())
    assert again.shared == parse("0-7") and told == ["changed"]


def test_an_init_container_hands_its_processors_on(tmp_path: Path) -> None:
    cpus = ExclusiveCpus(MACHINE, parse("0"), tmp_path / "state", lambda: None)
    cpus.allocate(pod("a", container("x", "2"), init=(container("i", "4"),)), lambda _: None)
    assert cpus.of("a", "x") < cpus.of("a", "i") and len(cpus.shared) == 4


def test_near_a_numa_node(tmp_path: Path) -> None:
    cpus = ExclusiveCpus(MACHINE, parse("0"), tmp_path / "state", lambda: None)
    cpus.allocate(pod("a", container("x", "2")), lambda _: frozenset({1}))
    assert cpus.of("a", "x") == parse("2,6")
    hints = cpus.hints(pod("b", container("x", "2")), container("x", "2"))
    assert hints is not None and [(h.nodes, h.preferred) for h in hints] == [
        (frozenset({0}), True),
        (frozenset({1}), True),
        (frozenset({0, 1}), False),
    ]


@pytest.mark.parametrize("content", ["{", '{"policyName":"none","defaultCpuSet":"0-7"}', '{"policyName":"static","defaultCpuSet":"0-3"}'])  # fmt: skip # noqa: E501
def test_a_state_of_another_machine_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "state").write_text(content)
    with pytest.raises(RuntimeError, match="drain the node and delete it"):
        ExclusiveCpus(MACHINE, parse("0"), tmp_path / "state", lambda: None)


@pytest.mark.parametrize("reserved", ["", "9"])
def test_something_must_be_reserved(tmp_path: Path, reserved: str) -> None:
    with pytest.raises(RuntimeError):
        ExclusiveCpus(MACHINE, parse(reserved), tmp_path / "state", lambda: None)


def test_this_machine_is_read() -> None:
    assert read_processors()
