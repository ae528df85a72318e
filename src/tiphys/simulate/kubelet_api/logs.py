"""The log of a simulated container: which lines it has written by when. Nothing is kept: it is worked out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiphys.api.errors import BadRequest, NotFound
from tiphys.api.kinds.core.pod.log_options import LogOptions
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import ContainerState, ContainerStatus
from tiphys.base.clock import parse_rfc3339, rfc3339_micro
from tiphys.simulate.kubelet_api.answers import Answers, LogRule, filled

KEPT_LINES = 10_000
"""Older ones are gone, as after a rotation."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a container. `end` None: it goes on."""

    start: datetime
    end: datetime | None
    number: int
    """How many came before it."""


def status_of(pod: Pod, container: str) -> ContainerStatus | None:
    status = pod.status
    for group in (status.container_statuses, status.init_container_statuses, status.ephemeral_container_statuses):
        for entry in group:
            if entry.name == container:
                return entry
    return None


def has_container(pod: Pod, container: str) -> bool:
    spec = pod.spec
    every = (spec.containers, spec.init_containers, spec.ephemeral_containers)
    return any(each.name == container for group in every for each in group)


def run_of(pod: Pod, container: str, *, previous: bool = False) -> Run:
    """Raises NotFound, BadRequest in a kubelet's words."""
    name = pod.metadata.name
    if not has_container(pod, container):
        raise NotFound(f'container "{container}" not found in pod "{name}"')
    status = status_of(pod, container)
    count = status.restart_count if status is not None else 0
    if previous:
        found = _run(status.last_state, count - 1) if status is not None else None
        if found is None:
            raise BadRequest(f'previous terminated container "{container}" in pod "{name}" not found')
        return found
    found = _run(status.state, count) if status is not None else None
    if found is None:
        waiting = status.state.waiting if status is not None else None
        reason = waiting.reason if waiting is not None and waiting.reason else "ContainerCreating"
        raise BadRequest(f'container "{container}" in pod "{name}" is waiting to start: {reason}')
    return found


def _run(state: ContainerState, number: int) -> Run | None:
    if state.running is not None and state.running.started_at:
        return Run(parse_rfc3339(state.running.started_at), None, number)
    ended = state.terminated
    if ended is not None and ended.started_at and ended.finished_at:
        return Run(parse_rfc3339(ended.started_at), parse_rfc3339(ended.finished_at), number)
    return None


class Log:
    """Of one run of one container."""

    def __init__(self, answers: Answers, pod: Pod, container: str, run: Run) -> None:
        self._answers, self._pod, self._container, self._run = answers, pod, container, run
        self._rule: LogRule = answers.log_of(pod, container)

    def time(self, number: int) -> datetime:
        """When line `number`, counted from 0, is written."""
        rule = self._rule
        late = 0.0
        if rule.jitter:
            late = rule.jitter * self._answers.share("log", self._pod.metadata.uid, self._container, number)
        return self._run.start + timedelta(seconds=rule.every_s * (number + late))

    def count(self, until: datetime) -> int:
        """How many lines are written by then."""
        until = min(until, self._run.end) if self._run.end is not None else until
        passed_s = (until - self._run.start).total_seconds()
        if passed_s < 0 or not self._rule.lines:
            return 0
        most = len(self._rule.lines) if not self._rule.repeat else KEPT_LINES * 100_000
        found = min(int(passed_s / self._rule.every_s) + 1, most) if self._rule.every_s else most
        return found - 1 if found and self.time(found - 1) > until else found

    def first(self, options: LogOptions, until: datetime) -> int:
        """The number of the first line that is asked for."""
        written = self.count(until)
        start = max(written - KEPT_LINES, 0)
        if options.tail_lines is not None:
            start = max(start, written - options.tail_lines)
        while options.since is not None and start < written and self.time(start) < options.since:
            start += 1
        return start

    def text(self, number: int, *, timestamps: bool) -> bytes:
        """One line, with its end."""
        line = self._rule.lines[number % len(self._rule.lines)]
        text = filled(line, self._pod, self._container, n=number + 1)
        stamp = f"{rfc3339_micro(self.time(number))[:-1]}000Z " if timestamps else ""  # nanoseconds, as kubelets do
        return f"{stamp}{text}\n".encode()

    def texts(self, start: int, end: int, options: LogOptions) -> Iterator[bytes]:
        """Lines `start` to before `end`. Simulated containers write to stdout alone."""
        if options.stream != "Stderr":
            for number in range(start, end):
                yield self.text(number, timestamps=options.timestamps)
