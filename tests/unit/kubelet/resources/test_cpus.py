from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.kinds.core.pod.containers import Container, ResourceRequirements
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import Quantity
from tiphys.kubelet.resources.cpus.choosing import take
from tiphys.kubelet.resources.cpus.distributing import take_evenly
from tiphys.kubelet.resources.cpus.options import PLAIN, CpuOptions, cpu_options
from tiphys.kubelet.resources.cpus.static import ExclusiveCpus, whole_cpus_of_pod
from tiphys.kubelet.resources.cpus.topology import Processor, parse, read_distances, read_processors, written
from tiphys.kubelet.resources.grants import NotAllocated
from tiphys.kubelet.resources.hints import ANYWHERE, Hint

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


def give(cpus: ExclusiveCpus, wanting: Pod, near: Hint = ANYWHERE) -> None:
    for each in (*wanting.spec.init_containers, *wanting.spec.containers):
        cpus.allocate(wanting, each, near)


def machine_of(directory: Path, options: CpuOptions = PLAIN, reserved: str = "0") -> ExclusiveCpus:
    return ExclusiveCpus(MACHINE, parse(reserved), directory / "state", lambda: None, options)


def test_whole_processors_are_given_once_and_remembered(tmp_path: Path) -> None:
    told: list[str] = []
    cpus = ExclusiveCpus(MACHINE, parse("0"), tmp_path / "state", lambda: told.append("changed"))
    give(cpus, pod("a", container("x", "2"), container("y", "1500m")))
    assert written(cpus.of("a", "x")) == "1,5" and cpus.of("a", "y") == cpus.shared == parse("0,2-4,6-7")
    assert cpus.alone("a", "x") and not cpus.alone("a", "y")
    with pytest.raises(NotAllocated, match="requested=6, available=5"):
        give(cpus, pod("b", container("x", "6")))
    again = ExclusiveCpus(MACHINE, parse("0"), tmp_path / "state", lambda: None)
    assert again.of("a", "x") == parse("1,5")
    again.retain(set())
    assert again.shared == parse("0-7") and told == ["changed"]


def test_an_init_container_hands_its_processors_on(tmp_path: Path) -> None:
    cpus = machine_of(tmp_path)
    give(cpus, pod("a", container("x", "2"), container("y", "1"), init=(container("i", "4"),)))
    assert cpus.of("a", "x") | cpus.of("a", "y") < cpus.of("a", "i") and len(cpus.shared) == 4
    assert not cpus.of("a", "x") & cpus.of("a", "y")


def test_a_sidecar_keeps_its_processors(tmp_path: Path) -> None:
    sidecar = container("s", "2")
    sidecar.restart_policy = "Always"
    cpus, wanting = machine_of(tmp_path), pod("a", container("x", "2"), init=(sidecar,))
    give(cpus, wanting)
    assert not cpus.of("a", "x") & cpus.of("a", "s") and whole_cpus_of_pod(wanting) == 4


@pytest.mark.parametrize(("init", "app", "most"), [((5,), (1, 2), 5), ((1, 2), (2, 2), 4), ((), (), 0)])
def test_what_a_pod_has_alone_at_one_time(init: tuple[int, ...], app: tuple[int, ...], most: int) -> None:
    of = [container(f"i{n}", str(count)) for n, count in enumerate(init)]
    assert whole_cpus_of_pod(pod("a", *(container(f"a{n}", str(c)) for n, c in enumerate(app)), init=tuple(of))) == most


def test_near_a_numa_node(tmp_path: Path) -> None:
    cpus = machine_of(tmp_path)
    give(cpus, pod("a", container("x", "2")), Hint(frozenset({1}), preferred=True))
    assert cpus.of("a", "x") == parse("2,6")
    other = pod("b", container("x", "2"))
    hints = cpus.hints(other, other.spec.containers[0])
    assert hints == cpus.hints_of_pod(other)
    assert hints == [Hint(frozenset({0}), True), Hint(frozenset({1}), True), Hint(frozenset({0, 1}), False)]


def test_what_was_given_is_where_it_stays(tmp_path: Path) -> None:
    cpus, one = machine_of(tmp_path), pod("a", container("x", "2"))
    give(cpus, one, Hint(frozenset({1}), preferred=True))
    again = machine_of(tmp_path)
    expected = [Hint(frozenset({1}), True), Hint(frozenset({0, 1}), False)]
    assert again.hints(one, one.spec.containers[0]) == again.hints_of_pod(one) == expected


@pytest.mark.parametrize(
    ("cpu", "told"),
    [
        ("3", "SMT Alignment Error: requested 3 cpus not multiple cpus per core = 2"),
        (
            "8",
            "SMT Alignment Error: not enough free physical CPUs: available physical CPUs = 6, requested CPUs = 8, "
            "CPUs per core = 2",
        ),
    ],
)
def test_whole_cores_only(tmp_path: Path, cpu: str, told: str) -> None:
    cpus = machine_of(tmp_path, CpuOptions(full_cores=True))
    with pytest.raises(NotAllocated) as refused:
        give(cpus, pod("a", container("x", cpu)))
    assert refused.value.rejection == ("SMTAlignmentError", told)
    give(cpus, pod("a", container("x", "2")))
    assert cpus.of("a", "x") == parse("1,5")


def test_strictly_reserved_processors_are_for_no_container(tmp_path: Path) -> None:
    cpus = machine_of(tmp_path, CpuOptions(strict=True))
    give(cpus, pod("a", container("x", "2")))
    assert cpus.shared == parse("2-4,6-7") and machine_of(tmp_path, CpuOptions(strict=True)).shared == cpus.shared
    with pytest.raises(RuntimeError, match="doesn't match with CPUs in state"):
        machine_of(tmp_path)


def test_other_reservations_do_not_fit_what_was_given(tmp_path: Path) -> None:
    give(machine_of(tmp_path), pod("a", container("x", "2")))
    with pytest.raises(RuntimeError, match='not all reserved cpus: "1" are present in defaultCpuSet: "0,2-4,6-7"'):
        machine_of(tmp_path, reserved="1")


@pytest.mark.parametrize(
    ("free", "count", "group", "taken"),
    [
        ("0-7", 2, 1, "0,4"),  # one node has them
        ("1-7", 6, 1, "1-6"),
        ("0-7", 6, 2, "0-2,4-6"),  # two of each node, and a core more
        ("0-7", 5, 2, "0-2,4-5"),  # no whole cores: packed
        ("0-1,2,4-5", 4, 1, "0-1,4-5"),
        ("0,4,2,6", 3, 1, "0,2,4"),
    ],
)
def test_equal_parts_of_numa_nodes(free: str, count: int, group: int, taken: str) -> None:
    assert written(take_evenly(MACHINE, parse(free), count, group)) == taken


@given(st.frozensets(st.integers(0, 7)), st.integers(0, 8), st.sampled_from((1, 2)))
def test_parts_are_as_many_as_asked_for(free: frozenset[int], count: int, group: int) -> None:
    if count <= len(free):
        found = take_evenly(MACHINE, free, count, group)
        assert len(found) == count and found <= free


def test_processors_below_one_cache_go_together() -> None:
    # One socket, three caches of four cores; the first one has a core less to spare.
    machine = [Processor(cpu, cpu, 0, 0, cpu // 4) for cpu in range(12)]
    assert written(take(machine, parse("1-11"), 3)) == "1-3"
    assert written(take(machine, parse("2-11"), 3)) == "2-4"
    assert written(take(machine, parse("2-11"), 3, by_cache=True)) == "4-6"
    assert written(take(machine, parse("2-11"), 6, by_cache=True)) == "2-7"
    assert written(take(machine, parse("2,3,6,7,10,11"), 3, by_cache=True)) == "2-3,6"


def test_options() -> None:
    assert cpu_options({"full-pcpus-only": "true", "strict-cpu-reservation": "0"}) == CpuOptions(full_cores=True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"x": "true"}, 'unknown CPU Manager Policy option: "x"'),
        ({"align-by-socket": "true"}, "Alpha-level Options not enabled"),
        ({"full-pcpus-only": "yes"}, 'bad value for option "full-pcpus-only"'),
        ({"distribute-cpus-across-numa": "true", "prefer-align-cpus-by-uncorecache": "true"}, "at the same time"),
    ],
)
def test_wrong_options(options: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        cpu_options(options)


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
    machine = read_processors()
    assert machine and {cpu.node for cpu in machine} <= read_distances().keys()
