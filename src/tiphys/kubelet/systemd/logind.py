"""The machine's own shutdown waits for pods: a delay lock of systemd-logind, held until they have ended.

logind says that it is about to shut down and then waits for whoever holds such a lock, as long as it was told it may
(`InhibitDelayMaxSec`); a drop-in file allows what the node's grace periods need.

Source: pkg/kubelet/nodeshutdown/{nodeshutdown_manager_linux,systemd/inhibit_linux}.go, org.freedesktop.login1(5).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tiphys.base.clock import Clock
from tiphys.kubelet.systemd import bus

if TYPE_CHECKING:
    from jeepney import Message

_log = logging.getLogger(__name__)

DROP_IN = Path("/etc/systemd/logind.conf.d/99-kubelet.conf")
_RELOAD_ATTEMPTS = 20
_ANNOUNCEMENTS_MAX = 16


async def follow(
    seconds: int, begin: Callable[[], Awaitable[None]], cancelled: Callable[[], Awaitable[None]], clock: Clock
) -> None:
    """Holds the lock; awaits `begin` when the machine is about to go, which may take `seconds`, and then lets it go.

    `cancelled`: it stays on after all. Returns only by cancellation. Raises OSError.
    """
    logind = await asyncio.to_thread(_Logind)
    try:
        await _allow(logind, seconds, clock)
        lock = await asyncio.to_thread(logind.lock)
        _log.info("the machine's shutdown waits up to %d s for pods", seconds)
        try:
            async for going in logind.announcements():
                if going:
                    await begin()
                    os.close(lock)
                    lock = -1
                else:
                    await cancelled()
                    lock = lock if lock >= 0 else await asyncio.to_thread(logind.lock)
        finally:
            if lock >= 0:
                os.close(lock)
    finally:
        logind.close()


async def _allow(logind: _Logind, seconds: int, clock: Clock) -> None:
    """logind waits so long for locks. Raises OSError."""
    if await asyncio.to_thread(logind.longest_s) >= seconds:
        return
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text(f"# Written for the kubelet's shutdownGracePeriod.\n[Login]\nInhibitDelayMaxSec={seconds}\n")
    await asyncio.to_thread(logind.reload)
    for _ in range(_RELOAD_ATTEMPTS):
        if (longest_s := await asyncio.to_thread(logind.longest_s)) >= seconds:
            return
        await clock.sleep(0.1)
    raise OSError(
        f"logind waits {longest_s:.0f} s for locks, and shutdownGracePeriod is {seconds} s, despite {DROP_IN}"
    )


class _Logind:
    """logind on the system's bus. Methods block, but for `announcements`."""

    def __init__(self) -> None:
        from jeepney import MatchRule, message_bus

        self._connection = bus.opened(enable_fds=True)
        going = MatchRule(type="signal", interface=bus.LOGIND.interface, member="PrepareForShutdown")
        self._announced: deque[Message] = deque(maxlen=_ANNOUNCEMENTS_MAX)
        self._connection.filter(going, queue=self._announced)
        bus.ask(self._connection, message_bus.AddMatch(going))

    def close(self) -> None:
        self._connection.close()

    def longest_s(self) -> float:
        """How long it waits for locks."""
        from jeepney import DBusAddress, Properties

        logind = DBusAddress(bus.LOGIND.path, bus.LOGIND.name, bus.LOGIND.interface)
        ((_, value),) = bus.ask(self._connection, Properties(logind).get("InhibitDelayMaxUSec"))
        return float(value) / 1e6

    def lock(self) -> int:
        """The file descriptor that is the lock."""
        body = ("shutdown", "kubelet", "pods are given time to end", "delay")
        (handle,) = bus.call(self._connection, bus.LOGIND, "Inhibit", "ssss", body)
        return int(handle.to_raw_fd())

    def reload(self) -> None:
        """It reads its configuration again."""
        bus.call(self._connection, bus.SYSTEMD, "KillUnit", "ssi", ("systemd-logind.service", "main", signal.SIGHUP))

    def _owner(self) -> str:
        """Who logind is on the bus at the moment."""
        from jeepney import message_bus

        return str(bus.ask(self._connection, message_bus.GetNameOwner(bus.LOGIND.name))[0])

    async def announcements(self) -> AsyncIterator[bool]:
        """True: the machine is about to go; False: it is not any more. Raises OSError when the bus is gone.

        Anybody may send such a signal: only logind's own counts.
        """
        from jeepney import HeaderFields

        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        descriptor = self._connection.sock.fileno()
        loop.add_reader(descriptor, readable.set)
        try:
            while True:
                with contextlib.suppress(TimeoutError):  # Nothing more has come.
                    while True:
                        self._connection.recv_messages(timeout=0)
                while self._announced:
                    message = self._announced.popleft()
                    if message.header.fields.get(HeaderFields.sender) == self._owner():
                        yield bool(message.body[0])
                await readable.wait()
                readable.clear()
        finally:
            loop.remove_reader(descriptor)
