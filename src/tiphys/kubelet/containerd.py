"""A containerd of the node's own: configuration, process, health, restart.

Containers do not depend on this process: their shims keep them running while containerd or the kubelet is away, and a
new containerd finds them again by its root and state directories.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from tiphys.base.clock import Clock
from tiphys.kubelet.settings import PAUSE_IMAGE

_log = logging.getLogger(__name__)

_CAP_SYS_RESOURCE = 24
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_MAX_SOCKET_PATH = 107


class ContainerdFailure(Exception):
    """containerd is missing or does not start. The text says what to do."""


@dataclass(frozen=True, slots=True)
class ContainerdSettings:
    """Where an own containerd keeps things. Nothing is shared with the system's."""

    directory: Path
    """Under it: config.toml, root/, certs.d/, containerd.log."""
    state: Path
    """Sockets and runtime state; on tmpfs, so that a reboot empties it."""
    cni_conf_dir: Path
    cni_bin_dirs: tuple[Path, ...] = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
    sandbox_image: str = PAUSE_IMAGE
    binary: str = "containerd"
    snapshotter: str = "overlayfs"
    systemd_cgroups: bool = False
    """Whether systemd makes containers' cgroups; the kubelet's driver must be the same."""

    @property
    def socket(self) -> Path:
        return self.state / "containerd.sock"


def lacks_sys_resource(status: str | None = None) -> bool:
    """Whether this process may not lower `oom_score_adj`; `status` is the text of /proc/self/status."""
    text = status if status is not None else Path("/proc/self/status").read_text()
    for line in text.splitlines():
        if line.startswith("CapEff:"):
            return not int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1
    return False


def first_cni_dir(directories: tuple[Path, ...]) -> Path:
    """containerd 1.6 takes one directory of plugins: the first that has the loopback plugin."""
    for directory in directories:
        if (directory / "loopback").exists():
            return directory
    return directories[0]


def render_config(settings: ContainerdSettings, *, restrict_oom: bool) -> str:
    """config.toml, version 2. Source: containerd docs/cri/config.md (1.6)."""
    quoted = _quoted
    return f"""version = 2
root = {quoted(settings.directory / "root")}
state = {quoted(settings.state)}
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]

[grpc]
  address = {quoted(settings.socket)}

[ttrpc]
  address = {quoted(settings.state / "containerd.sock.ttrpc")}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {quoted(settings.sandbox_image)}
  restrict_oom_score_adj = {str(restrict_oom).lower()}
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  max_container_log_line_size = 16384
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = {quoted(first_cni_dir(settings.cni_bin_dirs))}
  conf_dir = {quoted(settings.cni_conf_dir)}

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = {quoted(settings.directory / "certs.d")}

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = {quoted(settings.snapshotter)}
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = {str(settings.systemd_cgroups).lower()}
"""


def _quoted(value: object) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class Containerd:
    """Keeps one containerd running until cancelled."""

    def __init__(self, settings: ContainerdSettings, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self.ready = asyncio.Event()
        """Set while the socket answers."""

    def prepare(self) -> None:
        """Directories and config.toml. Raises ContainerdFailure."""
        settings = self.settings
        if shutil.which(settings.binary) is None:
            raise ContainerdFailure(f"{settings.binary} is not installed: install the package containerd")
        if len(str(settings.socket)) > _MAX_SOCKET_PATH:
            raise ContainerdFailure(f"{settings.socket} is too long for a unix socket: choose a shorter directory")
        for directory in (settings.directory / "root", settings.directory / "certs.d", settings.cni_conf_dir):
            directory.mkdir(parents=True, exist_ok=True)
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o711)
        config = render_config(settings, restrict_oom=lacks_sys_resource())
        (settings.directory / "config.toml").write_text(config)

    async def run(self) -> None:
        """Start it, start it again when it ends (after 1, 2, 4... at most 30 s), stop it when cancelled.

        Raises ContainerdFailure when the first start does not succeed.
        """
        self.prepare()
        delay_s, first = 1.0, True
        try:
            while True:
                started = self._clock.monotonic()
                try:
                    process = await self._start()
                except ContainerdFailure:
                    if first:
                        raise
                    _log.exception("containerd did not start")
                else:
                    first = False
                    self.ready.set()
                    code = await process.wait()
                    _log.warning("containerd ended with exit code %s; containers go on, starting it again", code)
                self.ready.clear()
                delay_s = 1.0 if self._clock.monotonic() - started > 60 else min(delay_s * 2, 30.0)
                await self._clock.sleep(delay_s)
        finally:
            self.ready.clear()
            await self._stop()

    async def _start(self) -> asyncio.subprocess.Process:
        settings = self.settings
        await self._end_stale()
        settings.socket.unlink(missing_ok=True)
        # Its own session: a signal to the kubelet's terminal must not end it or the shims that it starts.
        with (settings.directory / "containerd.log").open("ab") as log:
            process = self._process = await asyncio.create_subprocess_exec(
                settings.binary,
                "--config",
                str(settings.directory / "config.toml"),
                "--log-level",
                "warn",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"},
            )
        self._pid_file.write_text(f"{process.pid}\n")
        deadline = self._clock.monotonic() + _START_TIMEOUT_S
        while not await self._answers():
            if process.returncode is not None:
                raise ContainerdFailure(f"containerd ended at once: {self._last_words()}")
            if self._clock.monotonic() > deadline:
                await self._stop()
                raise ContainerdFailure(f"containerd does not answer after {_START_TIMEOUT_S:.0f} s")
            await self._clock.sleep(0.02)
        return process

    @property
    def _pid_file(self) -> Path:
        return self.settings.state / "containerd.pid"

    async def _end_stale(self) -> None:
        """A containerd that outlived a killed node process holds the database: end it, its containers go on."""
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return
        config = str(self.settings.directory / "config.toml").encode()
        deadline = self._clock.monotonic() + _STOP_TIMEOUT_S
        while _runs_with(pid, config):
            over = self._clock.monotonic() > deadline
            os.kill(pid, signal.SIGKILL if over else signal.SIGTERM)
            await self._clock.sleep(0.05)
        self._pid_file.unlink(missing_ok=True)

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(str(self.settings.socket))
        except OSError:
            return False
        writer.close()
        return True

    def _last_words(self) -> str:
        try:
            lines = (self.settings.directory / "containerd.log").read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else "it wrote nothing"

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _runs_with(pid: int, config: bytes) -> bool:
    """Whether the process is a living containerd of this configuration, and not another that got its number."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return config in words
