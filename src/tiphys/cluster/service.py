"""What every long-running process of the cluster does at its start: logging, signals, an event loop, an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

from tiphys.base.tasks import TaskSet
from tiphys.cluster.failure import ClusterError


def serve(name: str, work: Coroutine[object, object, None], *, told: Path | None = None) -> None:
    """Run `work` until it ends or SIGTERM or SIGINT asks for the end. Exits with 1 and one line when it fails.

    `told`: a file that gets this line too, for whoever waits for the process to become ready; gone while all is well.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
    )
    # Objects that live long dominate here; collecting often would scan them for nothing.
    gc.set_threshold(50_000, 20, 50)
    if told is not None:
        told.unlink(missing_ok=True)
    try:
        _runner(_until_signal(work))
    except* ClusterError as failures:
        lines = [str(failure) for failure in _leaves(failures)]
        for line in lines:
            print(f"{name}: {line}", file=sys.stderr)
        if told is not None:
            told.write_text("\n".join(lines))
        raise SystemExit(1) from None


def _runner(main: Coroutine[object, object, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


async def _until_signal(work: Coroutine[object, object, None]) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        logging.getLogger(__name__).info("stopped")


@contextlib.contextmanager
def shut_down_on_power_failure(shut_down: Callable[[], Coroutine[object, object, None]]) -> Iterator[None]:
    """Within, SIGPWR begins a graceful shutdown of the node: whoever turns the machine off sends it, and waits."""
    loop, tasks = asyncio.get_running_loop(), TaskSet()
    loop.add_signal_handler(signal.SIGPWR, lambda: tasks.spawn(shut_down(), "node shutdown"))
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGPWR)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
