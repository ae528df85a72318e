import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiphys.cluster.process import Program, running, spawn, started_at, stop, wait_exit
from tiphys.cluster.settings import DataDirectory
from tiphys.cluster.supervisor import Supervisor

SLEEP = Program("sleeper", (sys.executable, "-c", "import signal; signal.pause()"), {})


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataDirectory]:
    directory = DataDirectory(tmp_path)
    directory.create()
    yield directory
    stop([pid for pid in [running(SLEEP.pid_file(directory.run))] if pid])


def until_other(pid_file: Path, old: int) -> int:
    for _ in range(500):
        pid = running(pid_file)
        if pid and pid != old:
            return pid
        threading.Event().wait(0.01)
    raise AssertionError("was not started")


def supervised(data: DataDirectory) -> tuple[Supervisor, threading.Thread]:
    supervisor = Supervisor(data, [SLEEP])
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    return supervisor, thread


def test_a_reused_pid_is_not_mistaken(data: DataDirectory) -> None:
    pid_file = data.run / "x.pid"
    pid_file.write_text(f"{os.getpid()} 1")
    assert running(pid_file) == 0
    pid_file.write_text(f"{os.getpid()} {started_at(os.getpid())}")
    assert running(pid_file) == os.getpid()


def test_what_dies_is_started_again_and_all_ends_on_request(data: DataDirectory) -> None:
    pid_file = SLEEP.pid_file(data.run)
    supervisor, thread = supervised(data)
    first = until_other(pid_file, 0)
    os.kill(first, signal.SIGKILL)
    second = until_other(pid_file, first)
    supervisor.request_stop()
    thread.join(20)
    assert not thread.is_alive()
    assert not started_at(second)


def test_a_new_supervisor_adopts_what_runs(data: DataDirectory) -> None:
    pid = spawn(SLEEP, data.run, data.logs)
    supervisor, thread = supervised(data)
    assert running(SLEEP.pid_file(data.run)) == pid
    supervisor.request_stop()
    thread.join(20)
    assert wait_exit(pid, 5.0)
