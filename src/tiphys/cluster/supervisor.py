"""Keeps the cluster's processes running: one small process that starts, adopts and restarts the others.

It holds nothing that matters: killed at any moment, it is started again by the processes it watches (`guard`), finds
them through their pid files and goes on. Restarts back off from 0.2 s to 10 s; ten seconds of life reset that.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tiphys.cluster import etcd_members
from tiphys.cluster.process import Program, launch, reap, running, spawn, stop, wait_exit, write_pid_file
from tiphys.cluster.settings import ClusterSettings, DataDirectory

NAME = "supervisor"
_BACKOFF_FIRST_S, _BACKOFF_MAX_S, _STEADY_S = 0.2, 10.0, 10.0
_GRACE_S = 14.0
"""Twice that is less than whoever stops the supervisor waits for it."""
_TAKEOVER_S = 2.0
"""How long a new supervisor has to take the lock and say so in the pid file."""


def stopping_mark(data: DataDirectory) -> Path:
    """While this file is there, nobody restarts anything."""
    return data.run / "stopping"


def supervisor_program(data: DataDirectory) -> Program:
    return Program(NAME, (sys.executable, "-m", "tiphys", "supervise", "--data-dir", str(data.root)), {})


class Supervisor:
    """The loop over pidfds. `clock` is monotonic seconds."""

    def __init__(self, data: DataDirectory, programs: Sequence[Program], clock: Callable[[], float] = time.monotonic):
        self.data = data
        self.programs = {program.name: program for program in programs}
        self.clock = clock
        self._watched: dict[int, tuple[str, int, float]] = {}
        """pidfd -> (name, pid, when it was started or found)."""
        self._delay: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._stop_read, self._stop_write = os.pipe()

    def run(self) -> None:
        """Until SIGTERM; then stop every program, those last that others need."""
        for name in self.programs:
            self._start(name)
        while True:
            wait = min(self._due.values(), default=None)
            timeout = None if wait is None else max(0.0, wait - self.clock())
            ready = select.select([self._stop_read, *self._watched], [], [], timeout)[0]
            if self._stop_read in ready:
                break
            for descriptor in ready:
                self._ended(descriptor)
            for name in [name for name, due in self._due.items() if due <= self.clock()]:
                del self._due[name]
                self._start(name)
        for needed in (False, True):
            pids = [pid for name, pid, _ in self._watched.values() if self.programs[name].needed == needed]
            stop(pids[::-1], _GRACE_S)

    def request_stop(self) -> None:
        os.write(self._stop_write, b"x")

    def _start(self, name: str) -> None:
        program = self.programs[name]
        pid = running(program.pid_file(self.data.run)) or spawn(program, self.data.run, self.data.logs)
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self._retry(name)
            return
        self._watched[descriptor] = (name, pid, self.clock())

    def _ended(self, descriptor: int) -> None:
        name, pid, since = self._watched.pop(descriptor)
        os.close(descriptor)
        reap(pid)
        if self.clock() - since > _STEADY_S:
            self._delay.pop(name, None)
        self._retry(name)

    def _retry(self, name: str) -> None:
        delay = self._delay.get(name, _BACKOFF_FIRST_S)
        self._delay[name] = min(delay * 2, _BACKOFF_MAX_S)
        self._due[name] = self.clock() + delay


def supervise(data: DataDirectory, programs: Sequence[Program]) -> None:
    """Be the supervisor of `data`, unless another one is or the cluster is being stopped; returns when told to stop."""
    if stopping_mark(data).exists():
        return
    lock = os.open(data.run / f"{NAME}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    write_pid_file(data.run / f"{NAME}.pid", os.getpid())
    supervisor = Supervisor(data, programs)
    signal.signal(signal.SIGTERM, lambda *_: supervisor.request_stop())
    signal.signal(signal.SIGINT, lambda *_: supervisor.request_stop())
    supervisor.run()
    (data.run / f"{NAME}.pid").unlink(missing_ok=True)


def guard(data: DataDirectory) -> None:
    """Watch the supervisor from a thread of a supervised process, and start it again should it be killed.

    Only for processes that live in the machine's own network: a new supervisor inherits it, and what it starts, too.
    """

    def watch() -> None:
        program = supervisor_program(data)
        while not stopping_mark(data).exists():
            pid = running(program.pid_file(data.run))
            if pid:
                wait_exit(pid, 3600.0)
                continue
            time.sleep(0.5)
            if stopping_mark(data).exists() or running(program.pid_file(data.run)):
                continue
            # Two guards may both start one: the lock lets the second go away at once, and only who holds the lock
            # writes the pid file.
            with contextlib.suppress(OSError):
                wait_exit(launch(program, data.logs), _TAKEOVER_S)

    threading.Thread(target=watch, name="supervisor-guard", daemon=True).start()


def programs_of(data: DataDirectory, settings: ClusterSettings) -> list[Program]:
    """The processes of this machine: its etcd and its control plane, if any, then one for each real node."""
    base = (sys.executable, "-m", "tiphys")
    where = ("--data-dir", str(data.root))
    # Compiled modules are kept wherever possible: they halve the time of a start.
    # grpc's handlers for fork cost time and print warnings; nothing here forks with channels open.
    environment = {"GRPC_ENABLE_FORK_SUPPORT": "0", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": ""}
    programs: list[Program] = []
    if settings.etcd_ports is not None:
        programs.append(etcd_members.program(data.root, data.pki, settings))
    if settings.control_plane:
        programs.append(Program("control-plane", (*base, "control-plane", *where), environment))
    if settings.runtime == "containerd":
        for name in settings.node_names:
            command = (*base, "node", *where, "--name", name)
            argv = (*settings.networks.enter_command(name), *command) if settings.namespaced else command
            programs.append(Program(name, argv, environment))
    return programs
