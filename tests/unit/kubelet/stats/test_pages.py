"""Summary and metrics pages from readings."""

from __future__ import annotations

import msgspec

from tiphys.kubelet.capacity import Capacity
from tiphys.kubelet.state import ContainerRun, RunState
from tiphys.kubelet.stats import summary
from tiphys.kubelet.stats.cadvisor import cadvisor_metrics
from tiphys.kubelet.stats.cgroup_usage import Usage
from tiphys.kubelet.stats.collector import ContainerReading, NodeReading, PodReading, _Rates
from tiphys.kubelet.stats.exposition import Family, render, resource_metrics
from tiphys.kubelet.stats.machine import Interface, MachineUsage, _interfaces
from tiphys.testing.builders import pod

MACHINE = MachineUsage(3_500_000_000, 1000, 800, 600, 100, 0, 0, 5, 1, 20, 100, 50.0)
NODE = NodeReading(1000.25, MACHINE, None, (), "")
RUN = ContainerRun("c1", "main", RunState.RUNNING, 0, started_ns=990_500_000_000, image="busybox:1")


def reading() -> PodReading:
    usage = Usage(cpu_ns=1_500_000_000, working_set_bytes=300, memory_bytes=400)
    device = Interface("eth0", 1, 2, 3, 4, 5, 6, 7, 8)
    return PodReading(
        pod("web", namespace="shop"),
        1000.5,
        "/kubepods/podx",
        usage,
        7,
        (ContainerReading(RUN, usage, 7),),
        (device,),
        "eth0",
    )


def test_resource_metrics_carry_their_time() -> None:
    page = resource_metrics(NODE, [reading()])
    lines = page.splitlines()
    assert "node_cpu_usage_seconds_total 3.5 1000250" in lines
    assert 'container_cpu_usage_seconds_total{container="main",namespace="shop",pod="web"} 1.5 1000500' in lines
    assert 'container_start_time_seconds{container="main",namespace="shop",pod="web"} 990.5 1000500' in lines
    assert 'pod_memory_working_set_bytes{namespace="shop",pod="web"} 300 1000500' in lines
    assert "resource_scrape_error 0" in lines
    assert (
        "# HELP node_memory_working_set_bytes [STABLE] Current working set of the node in bytes\n"
        "# TYPE node_memory_working_set_bytes gauge\n" in page
    )


def test_a_node_that_cannot_be_read_says_so() -> None:
    lines = resource_metrics(None, []).splitlines()
    assert "resource_scrape_error 1" in lines
    assert "scrape_error 1" in lines
    assert not any(line.startswith("node_") for line in lines)


def test_cadvisor_families_and_labels() -> None:
    page = cadvisor_metrics(NODE, [reading()], Capacity(2000, 4096, 1, 110), "v1")
    assert "machine_cpu_cores 2 1000250" in page
    of_pod = 'container="",id="/kubepods/podx",image="",name="",namespace="shop",pod="web"'
    assert f'container_network_receive_bytes_total{{{of_pod},interface="eth0"}} 1 1000500' in page
    of_container = 'container="main",id="/kubepods/podx/c1",image="busybox:1",name="c1",namespace="shop",pod="web"'
    assert f"container_memory_working_set_bytes{{{of_container}}} 300 1000500" in page
    assert f'container_cpu_usage_seconds_total{{{of_container},cpu="total"}} 1.5 1000500' in page
    assert "container_spec_cpu_quota" not in page, "no quota: no sample"
    assert page.count("# TYPE container_memory_rss gauge") == 1


def test_labels_are_escaped_and_empty_families_left_out() -> None:
    family = Family("a", "gauge", "Help")
    family.add(1.25, {"image": 'say "hi"\n\\'})
    assert render([Family("b", "gauge", ""), family]) == (
        '# HELP a Help\n# TYPE a gauge\na{image="say \\"hi\\"\\n\\\\"} 1.25\n'
    )


def test_summary_leaves_out_what_is_unknown() -> None:
    made = summary.Summary(summary.NodeStats(node_name="n", start_time="t", cpu=summary.CPUStats(time="t")), [])
    assert msgspec.json.decode(msgspec.json.encode(made)) == {
        "node": {"nodeName": "n", "startTime": "t", "cpu": {"time": "t"}},
        "pods": [],
    }


def test_rates() -> None:
    rates = _Rates()
    assert rates.rate("a", 100.0, 5_000_000_000) is None, "nothing to compare with"
    assert rates.rate("a", 100.2, 5_100_000_000) is None, "too soon"
    assert rates.rate("a", 102.0, 6_000_000_000) == 500_000_000
    assert rates.rate("b", 100.0, 5_000_000_000, since_s=90.0) == 500_000_000, "since it began"
    rates.keep(["b"])
    assert rates.rate("a", 103.0, 7_000_000_000) is None


def test_interfaces_without_loopback() -> None:
    text = (
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls ...\n"
        "    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
        "  eth0: 10 2 3 4 0 0 0 0 50 6 7 8 0 0 0 0\n"
    )
    assert list(_interfaces(text)) == [Interface("eth0", 10, 2, 3, 4, 50, 6, 7, 8)]
