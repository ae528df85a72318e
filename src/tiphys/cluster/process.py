"""Processes that outlive the command that started them: pid files that cannot be mistaken, start, stop, watch."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec


class Program(msgspec.Struct, frozen=True):
    """A process of the cluster, by a name that is unique in its data directory."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    needed: bool = False
    """The others need it, also to end in order: it is stopped when they are gone."""

    def pid_file(self, run: Path) -> Path:
        return run / f"{self.name}.pid"


def started_at(pid: int) -> str:
    """When the kernel started `pid` (clock ticks since boot), "" when it is gone. A reused pid has another value."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = content.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def running(pid_file: Path) -> int:
    """The pid that `pid_file` names if that very process still runs, else 0."""
    try:
        pid, birth = pid_file.read_text().split()
    except (OSError, ValueError):
        return 0
    return int(pid) if started_at(int(pid)) == birth else 0


def spawn(program: Program, run: Path, logs: Path) -> int:
    """Start `program` in a session of its own and note it in its pid file; returns the pid."""
    pid = launch(program, logs)
    write_pid_file(program.pid_file(run), pid)
    return pid


def launch(program: Program, logs: Path) -> int:
    """Start `program` in a session of its own, its output appended to `logs/NAME.log`; returns the pid."""
    with open(logs / f"{program.name}.log", "ab") as log:
        process = subprocess.Popen(
            program.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **program.environment},
            start_new_session=True,
            cwd="/",
        )
    # Popen would warn about, and wait for, a child that we leave running on purpose.
    process.returncode = 0
    return process.pid


def write_pid_file(pid_file: Path, pid: int) -> None:
    temporary = pid_file.with_suffix(".new")
    temporary.write_text(f"{pid} {started_at(pid)}")
    temporary.replace(pid_file)


def wait_exit(pid: int, timeout_s: float) -> bool:
    """Whether `pid` is gone within `timeout_s`; works for processes that are not our children."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        gone = bool(select.select([descriptor], [], [], timeout_s)[0])
    finally:
        os.close(descriptor)
    reap(pid)
    return gone


def reap(pid: int) -> None:
    """Collect `pid` if it is a dead child of ours."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def stop(pids: Sequence[int], grace_s: float = 10.0) -> None:
    """SIGTERM to all at once, SIGKILL to those that are left after `grace_s`; returns when they are gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    for pid in pids:
        if not wait_exit(pid, max(0.0, deadline - time.monotonic())):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            wait_exit(pid, 5.0)


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log, for an error message; "" where there is none."""
    try:
        with open(path, "rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 16384))
            content = log.read()
    except OSError:
        return ""
    return "\n".join(content.decode(errors="replace").splitlines()[-lines:])
