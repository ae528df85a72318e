"""The test cluster's process, seen from the test: started, spoken to in lines, stopped. Standard library only."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import Any

START_S = 60.0
ANSWER_S = 300.0
"""How long a command may take: moving on by days is the longest."""
_STOP_S = 10.0
_LOG_SHOWN = 2000


class TestClusterError(Exception):
    """The cluster could not start, died, or refused a command; the message says why."""

    __test__ = False


class ClusterProcess:
    """One `tiphys test-server`. Its end is tied to ours: it stops when the pipe to it closes."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 # closed by `stop`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tiphys.testing", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._lock = threading.Lock()
        threading.Thread(target=self._read, name="tiphys test cluster", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> dict[str, Any]:
        """Where the cluster is. Raises TestClusterError."""
        first = self._answer(START_S)
        if not first.get("ready"):
            raise TestClusterError(f"the test cluster did not start: {first.get('error')}")
        return first

    def do(self, command: str, **arguments: Any) -> Any:
        """Have a command done. Raises TestClusterError."""
        with self._lock:
            stdin = self._process.stdin
            if stdin is None or stdin.closed:
                raise TestClusterError("the test cluster was stopped")
            try:
                stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
                stdin.flush()
            except OSError:
                raise self._died() from None
            answer = self._answer(ANSWER_S)
        if "error" in answer:
            raise TestClusterError(answer["error"])
        return answer.get("ok")

    def stop(self) -> None:
        """End it; idempotent."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            raise AssertionError("there is a pipe")
        with contextlib.suppress(ValueError):  # closed by `stop`
            for line in stream:
                self._lines.put(line)
        self._lines.put(b"")

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise TestClusterError(f"the test cluster did not answer for {timeout_s:g} s{self._last_words()}") from None
        if not line:
            raise self._died()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _died(self) -> TestClusterError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        return TestClusterError(f"the test cluster ended with code {self._process.returncode}{self._last_words()}")

    def _last_words(self) -> str:
        self._log.seek(0)
        text = self._log.read().decode(errors="replace").strip()
        return f":\n{text[-_LOG_SHOWN:]}" if text else ""
