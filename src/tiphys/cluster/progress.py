"""What a person sees while a cluster comes up: a line per step, with its time; colours on a terminal only."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Progress:
    """Steps on standard error. On a terminal the running step spins; elsewhere a line is printed at its end."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stderr
        self.live = self.out.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    def paint(self, text: str, code: str) -> str:
        """`text` in an ANSI style (`1` bold, `2` faint, `32` green), where the output shows it."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.live else text

    def say(self, text: str = "") -> None:
        print(text, file=self.out, flush=True)

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """Show `title` until the block ends. What the block appends to the list is shown behind it."""
        detail: list[str] = []
        started = time.monotonic()
        done = threading.Event()
        spinner = threading.Thread(target=self._spin, args=(title, detail, done), daemon=True)
        if self.live:
            spinner.start()
        try:
            yield detail
        except BaseException:
            self._finish(done, spinner, self.paint("✗", "31"), title, detail, started)
            raise
        self._finish(done, spinner, self.paint("✓", "32"), title, detail, started)

    def _spin(self, title: str, detail: list[str], done: threading.Event) -> None:
        for turn in range(10_000_000):
            mark = self.paint(_SPINNER[turn % len(_SPINNER)], "36")
            note = self.paint(f"  {detail[-1]}", "2") if detail else ""
            print(f"\r\x1b[K{mark} {title}{note}", end="", file=self.out, flush=True)
            if done.wait(0.1):
                return

    def _finish(
        self, done: threading.Event, spinner: threading.Thread, mark: str, title: str, detail: list[str], started: float
    ) -> None:
        done.set()
        if spinner.is_alive():
            spinner.join()
        start = "\r\x1b[K" if self.live else ""
        note = self.paint(f"  {detail[-1]}", "2") if detail else ""
        elapsed = self.paint(f" {time.monotonic() - started:5.1f} s", "2")
        self.say(f"{start}{mark} {title}{note}{elapsed}")
