"""What simulated containers have written and used by when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.addons.metrics.samples import pod_uses as read_uses
from tiphys.addons.metrics.samples import read_page
from tiphys.api.errors import BadRequest, NotFound
from tiphys.api.kinds.core.pod.log_options import LogOptions
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import ContainerState, ContainerStatus
from tiphys.simulate.kubelet_api.answers import Answers, LogRule, UsageRule
from tiphys.simulate.kubelet_api.logs import KEPT_LINES, Log, Run, run_of
from tiphys.simulate.kubelet_api.usage import pod_uses, resource_metrics, summary
from tiphys.simulate.lifecycle import DEFAULT_STAGES, Place, Stage, after
from tiphys.testing import builders as b

START = datetime(2026, 1, 1, tzinfo=UTC)


def running(now: datetime = START) -> Pod:
    found = b.pod("web", node="n1", containers=[b.container("main", requests={"cpu": "1", "memory": "1Gi"})])
    found.metadata.uid = "u1"
    found.status = after(DEFAULT_STAGES[0], found, Place("10.0.0.1", "10.0.0.2"), now)
    return found


def log(rule: LogRule, run: Run) -> Log:
    return Log(Answers(logs=(rule,)), running(), "main", run)


def text(found: Log, options: LogOptions, now: datetime) -> str:
    return b"".join(found.texts(found.first(options, now), found.count(now), options)).decode()


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_lines_come_one_by_one_and_begin_again() -> None:
    found = log(LogRule(lines=("a{n}", "b{n}"), every_s=2.0), Run(START, None, 0))
    assert text(found, LogOptions(), START) == "a1\n"
    assert text(found, LogOptions(), at(1.9)) == "a1\n"
    assert text(found, LogOptions(), at(6)) == "a1\nb2\na3\nb4\n"
    assert text(found, LogOptions(tail_lines=2), at(6)) == "a3\nb4\n"
    assert text(found, LogOptions(tail_lines=0), at(6)) == ""
    assert text(found, LogOptions(since=at(4)), at(6)) == "a3\nb4\n"
    assert text(found, LogOptions(stream="Stderr"), at(6)) == ""
    assert text(found, LogOptions(tail_lines=1, timestamps=True), at(6)) == "2026-01-01T00:00:06.000000000Z b4\n"


def test_a_log_ends_with_its_container_or_its_lines_and_keeps_the_newest() -> None:
    rule = LogRule(lines=("a", "b"), every_s=1.0, repeat=False)
    assert text(log(rule, Run(START, None, 0)), LogOptions(), at(100)) == "a\nb\n"
    assert log(LogRule(lines=("a",), every_s=1.0), Run(START, at(3), 0)).count(at(100)) == 4
    old = log(LogRule(lines=("{n}",), every_s=1.0), Run(START, None, 0))
    assert old.first(LogOptions(), at(20_000)) == 20_001 - KEPT_LINES


@given(jitter=st.floats(0, 1), seconds=st.floats(0, 1000))
def test_late_lines_keep_their_order_and_are_counted_when_written(jitter: float, seconds: float) -> None:
    found = log(LogRule(lines=("a",), every_s=1.0, jitter=jitter), Run(START, None, 0))
    count = found.count(at(seconds))
    times = [found.time(number) for number in range(count + 2)]
    assert times == sorted(times)
    assert all(time <= at(seconds) for time in times[: max(count, 0)])
    assert times[count] > at(seconds) or times[count + 1] > at(seconds)


def test_which_run_is_meant() -> None:
    pod = running()
    assert run_of(pod, "main") == Run(START, None, 0)
    with pytest.raises(BadRequest, match='previous terminated container "main" in pod "web" not found'):
        run_of(pod, "main", previous=True)
    with pytest.raises(NotFound, match='container "x" not found in pod "web"'):
        run_of(pod, "x")
    crash = Stage("crash", frozenset({"Running"}), deleting=False, becomes="Restarted", exit_code=137)
    pod.status = after(crash, pod, Place("10.0.0.1", "10.0.0.2"), at(5))
    assert run_of(pod, "main") == Run(at(5), None, 1)
    assert run_of(pod, "main", previous=True) == Run(START, at(5), 0)
    assert pod.status.container_statuses[0].last_state.terminated.exit_code == 137
    pod.status.container_statuses = [ContainerStatus(name="main", state=ContainerState())]
    with pytest.raises(BadRequest, match='container "main" in pod "web" is waiting to start: ContainerCreating'):
        run_of(pod, "main")


def test_what_is_read_from_two_pages_is_what_was_said() -> None:
    answers = Answers(usage=(UsageRule(cpu_milli=300, memory_bytes=1000, jitter=0.5, period_s=100.0),))
    node, pod = b.node("n1"), running()
    node.metadata.creation_timestamp = "2026-01-01T00:00:00Z"

    def page(seconds: float) -> str:
        return resource_metrics(node, pod_uses(answers, [pod], at(seconds)), at(seconds))

    rates = []
    for start in range(10, 210, 10):
        use = read_uses(read_page(page(start)), read_page(page(start + 10)))["default", "web"]["main"]
        rates.append(use.cpu_nano_cores)
        assert 500 <= use.memory_bytes <= 1500
    assert 150e6 <= min(rates) < 200e6 and 400e6 < max(rates) <= 450e6
    assert abs(sum(rates) / len(rates) - 300e6) < 1e6


def test_usage_follows_requests_and_shows_in_the_summary() -> None:
    node, pod = b.node("n1"), running()
    node.metadata.creation_timestamp = "2026-01-01T00:00:00Z"
    shown = summary(node, pod_uses(Answers(usage=(UsageRule(),)), [pod], at(60)), at(60))
    [of_pod] = shown["pods"]
    assert of_pod["podRef"] == {"name": "web", "namespace": "default", "uid": "u1"}
    assert of_pod["cpu"]["usageNanoCores"] == 500_000_000
    assert of_pod["cpu"]["usageCoreNanoSeconds"] == 30_000_000_000
    assert of_pod["containers"][0]["memory"]["workingSetBytes"] == 512 << 20
    assert shown["node"]["cpu"]["usageNanoCores"] > 500_000_000


def test_pods_that_do_not_run_use_nothing() -> None:
    assert pod_uses(Answers(), [b.pod("web", node="n1")], START) == []
