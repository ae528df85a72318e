"""Looks at the runtime and says what is there of a pod: two list calls, and a closer look only at what changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from tiphys.base.clock import Clock
from tiphys.kubelet.cri.client import CriClient, NotFound
from tiphys.kubelet.cri.containers import Container, ContainerStatus
from tiphys.kubelet.cri.sandboxes import PodSandbox
from tiphys.kubelet.logs import tail_text
from tiphys.kubelet.state import (
    ANNOTATION_MESSAGE_PATH,
    ANNOTATION_MESSAGE_POLICY,
    LABEL_POD_UID,
    ContainerRun,
    PodRuntime,
    RunState,
    SandboxState,
    container_run,
    sandbox_state,
)

_log = logging.getLogger(__name__)

_MESSAGE_BYTES = 4096
_FALLBACK_BYTES, _FALLBACK_LINES = 2048, 80
_EXIT_LAG_S = 2.0


class PodObserver:
    """The runtime's view of one pod, remembered from look to look."""

    def __init__(self, cri: CriClient, clock: Clock, uid: str) -> None:
        self._cri, self._clock, self._uid = cri, clock, uid
        self._sandboxes: dict[str, SandboxState] = {}
        self._runs: dict[str, ContainerRun] = {}
        self._ended: set[str] = set()
        self.runtime = PodRuntime()
        """The last look."""

    def ended(self, container_id: str) -> None:
        """An exit event came: the next look waits until the runtime's own books say so too."""
        self._ended.add(container_id)

    async def look(self) -> PodRuntime:
        """Raises RuntimeFailure."""
        labels = {LABEL_POD_UID: self._uid}
        sandboxes, containers = await asyncio.gather(self._cri.list_sandboxes(labels), self._listed_containers(labels))
        seen_sandboxes = await asyncio.gather(*(self._sandbox(entry) for entry in sandboxes))
        seen_runs = await asyncio.gather(*(self._run(entry) for entry in containers))
        kept_sandboxes = [s for s in seen_sandboxes if s is not None]
        kept_runs = [r for r in seen_runs if r is not None]
        self._sandboxes = {s.id: s for s in kept_sandboxes}
        self._runs = {r.id: r for r in kept_runs}
        kept_sandboxes.sort(key=lambda s: s.created_ns, reverse=True)
        kept_runs.sort(key=lambda r: (r.created_ns, r.attempt), reverse=True)
        self.runtime = PodRuntime(tuple(kept_sandboxes), tuple(kept_runs))
        return self.runtime

    async def _listed_containers(self, labels: Mapping[str, str]) -> list[Container]:
        """The list, once it agrees with the exit events; the runtime hears of an exit when we do, not before."""
        deadline_s = self._clock.monotonic() + _EXIT_LAG_S
        pause_s = 0.005
        while True:
            listed = await self._cri.list_containers(dict(labels))
            lagging = {entry.id for entry in listed if entry.state == RunState.RUNNING.value} & self._ended
            if not lagging or self._clock.monotonic() > deadline_s:
                self._ended.clear()
                return listed
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.1)

    async def _sandbox(self, entry: PodSandbox) -> SandboxState | None:
        known = self._sandboxes.get(entry.id)
        if known is not None and known.ready == (entry.state == 0) and (known.ips or known.host_network):
            return known
        try:
            return sandbox_state(await self._cri.sandbox_status(entry.id))
        except NotFound:
            return None

    async def _run(self, entry: Container) -> ContainerRun | None:
        known = self._runs.get(entry.id)
        if known is not None and known.state.value == entry.state:
            return known
        try:
            status = await self._cri.container_status(entry.id)
        except NotFound:
            return None
        run = container_run(status, entry.pod_sandbox_id)
        if run.state is RunState.EXITED:
            return replace(run, message=termination_message(status))
        return run


def termination_message(status: ContainerStatus) -> str:
    """What the container left in its message file; where its policy says so, the end of its log instead."""
    path = status.annotations.get(ANNOTATION_MESSAGE_PATH, "")
    text = _message_file(path, ((m.container_path, m.host_path) for m in status.mounts))
    policy = status.annotations.get(ANNOTATION_MESSAGE_POLICY)
    if not text and policy == "FallbackToLogsOnError" and status.exit_code:
        text = tail_text(Path(status.log_path), _FALLBACK_LINES, _FALLBACK_BYTES)
    return text or status.message


def _message_file(path: str, mounts: Iterable[tuple[str, str]]) -> str:
    for container_path, host_path in mounts:
        if path and container_path == path:
            try:
                with Path(host_path).open("rb") as file:
                    return file.read(_MESSAGE_BYTES).decode(errors="replace")
            except OSError:
                return ""
    return ""
