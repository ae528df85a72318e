from __future__ import annotations

from tiphys.api.meta.schema import copy_of
from tiphys.scheduler.nodechange import NodeChange
from tiphys.scheduler.table import NodeTable
from tiphys.testing import builders as b


def test_rows_are_reused_and_columns_grow() -> None:
    table = NodeTable(capacity=2)
    for i in range(5):
        table.set_node(b.node(f"n{i}"))
    assert (table.capacity, table.count, table.high) == (8, 5, 5)
    row = table.rows["n1"]
    table.remove_node("n1")
    assert not table.live[row]
    table.set_node(b.node("again", cpu="7"))
    assert table.rows["again"] == row
    assert table.allocatable[0, row] == 7000
    assert table.high == 5


def test_heartbeats_change_nothing() -> None:
    table = NodeTable()
    node = b.node()
    assert table.set_node(node) is NodeChange.ADDED
    position = table.position
    beat = copy_of(node)
    beat.status.conditions[0].last_heartbeat_time = "2026-01-01T00:01:00Z"
    assert table.set_node(beat) is NodeChange.NONE
    assert table.changes_since(position) == []
    cordoned = copy_of(beat)
    cordoned.spec.unschedulable = True
    assert table.set_node(cordoned) is NodeChange.TAINTS
    assert table.changes_since(position) == [0]


def test_an_assumed_pod_is_confirmed_forgotten_or_gone() -> None:
    table = NodeTable()
    table.set_node(b.node("n1"))
    bound, failed = b.pod(cpu="1", node="n1"), b.pod(cpu="2", node="n1")
    table.assume(table.record(bound))
    table.assume(table.record(failed))
    assert table.requested[0, 0] == 3000
    table.set_pod(table.record(bound))
    for pod in (bound, failed):
        table.forget(pod.metadata.uid)
    assert table.requested[0, 0] == 1000
    assert not table.assumed


def test_pods_are_counted_when_their_node_appears_later_and_after_it_comes_back() -> None:
    table = NodeTable()
    table.set_pod(table.record(b.pod(cpu="1", node="n1", host_ports=[80])))
    for _ in range(2):
        table.set_node(b.node("n1"))
        assert table.requested[0, table.rows["n1"]] == 1000
        assert ("TCP", 80) in table.held.ports
        table.remove_node("n1")
        assert not table.held.ports


def test_equal_pods_share_a_shape_that_dies_with_them() -> None:
    table = NodeTable()
    one, two = table.record(b.pod("a", cpu="1")), table.record(b.pod("b", cpu="1"))
    assert one.shape is two.shape
    assert table.record(b.pod("c", cpu="2")).shape is not one.shape
    assert len(table.shapes) == 1
    del one, two
    assert len(table.shapes) == 0


def test_a_changed_pod_replaces_what_it_took_before() -> None:
    table = NodeTable()
    table.set_node(b.node("n1"))
    pod = b.pod(cpu="1", node="n1")
    table.set_pod(table.record(pod))
    resized = copy_of(pod)
    resized.spec.containers[0].resources.requests = b.quantities(cpu="500m")
    assert table.set_pod(table.record(resized))
    assert not table.set_pod(table.record(resized))
    assert table.requested[0, 0] == 500


def test_old_positions_say_that_everything_may_have_changed() -> None:
    table = NodeTable()
    start = table.position
    for i in range((1 << 16) + 1):
        table._changed(i % 3)
    assert table.changes_since(start) is None
    assert table.changes_since(table.position) == []
