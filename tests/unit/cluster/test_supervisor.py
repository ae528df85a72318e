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


def test_what_others_need_ends_after_them(data: DataDirectory) -> None:
    """The one that is needed would end at once; the other takes a moment, and finds it still there."""
    needed = Program("needed", SLEEP.argv, {}, needed=True)
    last_words = (
        "import os, pathlib, signal, time\n"
        "def end(*_):\n"
        "    time.sleep(0.3)\n"
        f"    pid = pathlib.Path({str(needed.pid_file(data.run))!r}).read_text().split()[0]\n"
        f"    state = pathlib.Path(f'/proc/{{pid}}/stat').read_text().rpartition(')')[2].split()[0]\n"
        f"    pathlib.Path({str(data.run / 'seen')!r}).write_text(state)\n"
        "    os._exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"pathlib.Path({str(data.run / 'listens')!r}).touch()\n"
        "while True: signal.pause()\n"
    )
    other = Program("other", (sys.executable, "-c", last_words), {})
    supervisor = Supervisor(data, [needed, other])
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    for _ in range(500):
        if (data.run / "listens").exists():
            break
        threading.Event().wait(0.01)
    supervisor.request_stop()
    thread.join(30)
    assert (data.run / "seen").read_text() == "S"
    assert not running(needed.pid_file(data.run))
