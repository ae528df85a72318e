"""`tiphys down` and `tiphys reset`: stop a cluster so that nothing of it is left on the machine but its data."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tiphys.cluster.failure import ClusterError
from tiphys.cluster.process import running, stop
from tiphys.cluster.progress import Progress
from tiphys.cluster.settings import ClusterSettings, DataDirectory
from tiphys.cluster.supervisor import programs_of, stopping_mark, supervisor_program
from tiphys.kubelet.systemd import slices

_SERVICES = frozenset(("supervise", "control-plane", "node"))
"""The words of the command line that start a long-running process of a cluster."""


def down(data: DataDirectory, progress: Progress) -> None:
    """Stop processes and containers, take away mounts, links and rules. Works after any crash; idempotent."""
    settings = data.load_settings()
    if settings is None:
        progress.say(f"No cluster in {data.root}.")
        return
    _stop(data, settings, progress)


def _stop(data: DataDirectory, settings: ClusterSettings | None, progress: Progress) -> None:
    """As `down`; settings that cannot be read (None) leave the nodes' networks, which only they tell."""
    data.create()
    with progress.step("Stopping the cluster's processes"):
        stop_processes(data, settings)
    if settings is not None and settings.runtime != "containerd":
        return
    networks = pod_networks(data)
    with progress.step("Stopping containers") as detail:
        count = end_containers((f"{data.root}/nodes/", f"{data.state}/"))
        detail.append(f"{count} processes")
    with progress.step("Removing mounts, links and rules"):
        forget_namespaces(networks)
        _unmount(data.root)
        _unmount(data.state)
        shutil.rmtree(data.state, ignore_errors=True)
        if settings is not None:
            _remove_network(settings)
        _remove_cgroups(data)


def stop_processes(data: DataDirectory, settings: ClusterSettings | None) -> None:
    """End the supervisor, which ends the others; then those that are left. Containers go on."""
    stopping_mark(data).touch()
    supervisor = running(supervisor_program(data).pid_file(data.run))
    stop([supervisor] if supervisor else [], grace_s=30.0)
    programs = programs_of(data, settings) if settings is not None else ()
    noted = {running(program.pid_file(data.run)) for program in programs} - {0}
    # Pid files may be gone or wrong after a crash; the arguments of a process are not.
    found = {pid for pid in _pids() if _serves(pid, data)}
    stop(sorted(noted | found))


def reset(data: DataDirectory, progress: Progress) -> None:
    """`down`, then delete the data directory; also of a cluster whose settings are damaged."""
    if data.root.exists() and not data.settings_file.exists() and any(data.root.iterdir()):
        raise ClusterError(f"{data.root} is not a cluster's data directory", "name the right one with --data-dir")
    try:
        _leave(data, progress)
        down(data, progress)
    except ClusterError as error:
        progress.say(f"{error.problem}: links and rules of its nodes' network stay until the machine starts anew.")
        _stop(data, None, progress)
    with progress.step(f"Deleting {data.root}"):
        _delete(data.root)


def _delete(root: Path) -> None:
    """`root` with all that is in it; a mount point stays, empty, and so does a link to a directory."""
    if not root.exists():
        return
    for entry in root.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if not root.is_mount() and not root.is_symlink():
        root.rmdir()


def _leave(data: DataDirectory, progress: Progress) -> None:
    """Take this machine's member out of an etcd that goes on without it: else the others count on it for a majority."""
    settings = data.load_settings()
    if settings is None or settings.etcd is None or settings.etcd_ports is None or len(settings.etcd.servers) < 2:
        return
    import asyncio

    from tiphys.cluster.joining import etcd

    with progress.step("Leaving the other control planes") as detail:
        try:
            asyncio.run(etcd.go(settings.etcd, settings.etcd_name))
        except ClusterError as error:
            detail.append(f"not possible: {error.problem}")


def end_containers(directories: tuple[str, ...]) -> int:
    """End containerds and shims with all that run below them; theirs are those with a path in one of `directories`
    among their arguments. Returns how many processes ended."""
    own = os.getpid()
    shims = [pid for pid in _pids() if pid != own and _names(pid, directories)]
    family = set(shims)
    parents = {pid: _parent(pid) for pid in _pids()}
    for _ in range(len(parents)):
        children = {pid for pid, parent in parents.items() if parent in family} - family
        if not children:
            break
        family |= children
    family.discard(own)
    stop(sorted(family), grace_s=0.5)
    return len(family)


def pod_networks(data: DataDirectory, node: str = "*") -> set[Path]:
    """The network namespaces of the pods of all nodes, or of one, as containerd's state names them."""
    found: set[Path] = set()
    for config in data.state.glob(f"{node}/io.containerd.runtime.v2.task/k8s.io/*/config.json"):
        with contextlib.suppress(OSError, ValueError):
            for namespace in json.loads(config.read_bytes())["linux"]["namespaces"]:
                path = Path(namespace.get("path", ""))
                if namespace["type"] == "network" and path.name.startswith("cni-"):
                    found.add(path)
    return found


def forget_namespaces(paths: Iterable[Path]) -> None:
    """Unmount and delete named namespaces; with its last process gone, one's links go too."""
    for path in paths:
        subprocess.run(["umount", "--lazy", str(path)], capture_output=True, check=False)
        with contextlib.suppress(OSError):
            path.unlink()


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _serves(pid: int, data: DataDirectory) -> bool:
    """Whether `pid` is a process of this cluster, started by the supervisor or by a guard."""
    words = _arguments(pid)
    return "tiphys" in words and str(data.root) in words and any(word in _SERVICES for word in words)


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return [""]


def _names(pid: int, directories: tuple[str, ...]) -> bool:
    """Whether `pid` is a containerd or shim that was started with a path in one of `directories`."""
    words = _arguments(pid)
    return "containerd" in words[0] and any(word.startswith(directories) for word in words[1:])


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _unmount(root: Path) -> None:
    """Unmount everything below `root`, the deepest first."""
    prefix = f"{root}/"
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [mount.replace("\\040", " ") for mount in mounts if mount.startswith(prefix)]
    for mount in sorted(below, key=len, reverse=True):
        subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)


def _remove_network(settings: ClusterSettings) -> None:
    from tiphys.network.pod_network import cleanup as remove_pod_network
    from tiphys.proxy.proxy import cleanup as remove_rules

    if settings.namespaced:
        settings.networks.remove(settings.node_names)
    else:
        remove_rules()
        remove_pod_network()


def _remove_cgroups(data: DataDirectory) -> None:
    """Delete the (now empty) cgroups of the nodes' pods in every hierarchy, and their slices."""
    hierarchies = (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*"))
    slice_path = slices.slice_of(data.cgroup)
    if any((hierarchy / slice_path.lstrip("/")).is_dir() for hierarchy in hierarchies):
        with contextlib.suppress(OSError):
            slices.Slices(unified=False).end(slice_path)
    for hierarchy in hierarchies:
        top = hierarchy / data.cgroup.lstrip("/")
        for directory, _, _ in os.walk(top, topdown=False) if top.is_dir() else ():
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        with contextlib.suppress(OSError):
            top.parent.rmdir()
