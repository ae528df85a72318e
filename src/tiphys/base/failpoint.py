"""Named places where a test makes the program fail: crash, refuse, or wait, exactly there.

A place is one line, `failpoint.hit("store.before-commit")`, and costs a dictionary's truth test when nothing is armed.
Tests arm it in process with `armed(...)`, and in another process through the environment:

    TIPHYS_FAILPOINTS="store.before-commit=kill@20;store.in-commit=errno:ENOSPC"

Actions: `kill` (SIGKILL to oneself, what a power switch would do to the process), `errno:NAME` (OSError),
`sleep:SECONDS`. `@N` acts on the Nth hit and on none before; without it, on every hit.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Action = Callable[[], None]

_armed: dict[str, Action] = {}


def hit(name: str) -> None:
    """Does nothing, unless someone armed `name`."""
    if _armed:
        action = _armed.get(name)
        if action is not None:
            action()


@contextmanager
def armed(name: str, action: Action | str) -> Iterator[None]:
    """Arm one place for the length of a test; `action` is a callable or the text form above."""
    before = _armed.get(name)
    _armed[name] = parse(action) if isinstance(action, str) else action
    try:
        yield
    finally:
        if before is None:
            _armed.pop(name, None)
        else:
            _armed[name] = before


def parse(text: str) -> Action:
    """`kill`, `errno:ENOSPC`, `sleep:0.1`, each with an optional `@N`. Raises ValueError."""
    what, _, nth = text.partition("@")
    act = _action(what)
    if not nth:
        return act
    left = int(nth)

    def on_nth() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            act()

    return on_nth


def _action(what: str) -> Action:
    word, _, value = what.partition(":")
    if word == "kill":
        return lambda: os.kill(os.getpid(), signal.SIGKILL)
    if word == "sleep":
        delay_s = float(value)
        return lambda: time.sleep(delay_s)
    if word == "errno" and hasattr(errno, value):
        number = int(getattr(errno, value))

        def fail() -> None:
            raise OSError(number, os.strerror(number))

        return fail
    raise ValueError(f"unknown failpoint action {what!r}: use kill, errno:NAME or sleep:SECONDS")


def arm_from_environment(text: str) -> None:
    """Arm what `TIPHYS_FAILPOINTS` names. Raises ValueError."""
    for item in filter(None, (part.strip() for part in text.split(";"))):
        name, separator, action = item.partition("=")
        if not separator:
            raise ValueError(f"TIPHYS_FAILPOINTS: {item!r} is not name=action")
        _armed[name] = parse(action)


arm_from_environment(os.environ.get("TIPHYS_FAILPOINTS", ""))
