"""What a container sees mounted: its volumes, /etc/hosts, its termination message file."""

from __future__ import annotations

import os
from pathlib import Path

from tiphys.api.kinds.core.pod.containers import Container, EphemeralContainer
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.kubelet.cri.common import Mount
from tiphys.kubelet.cri.containers import Device
from tiphys.kubelet.environment import expand
from tiphys.kubelet.hosts import hosts_file
from tiphys.kubelet.podconfig import volume_mount
from tiphys.kubelet.settings import KubeletSettings
from tiphys.kubelet.volumes.pod import PodVolumes
from tiphys.kubelet.volumes.subpath import BadSubPath


class BadMount(Exception):
    """The text is the container's waiting message."""


def container_mounts(
    pod: Pod,
    container: Container | EphemeralContainer,
    volumes: PodVolumes,
    environment: dict[str, str],
    ips: tuple[str, ...],
    settings: KubeletSettings,
) -> list[Mount]:
    """All mounts but the termination message's. Raises BadMount."""
    made = []
    for index, wanted in enumerate(container.volume_mounts):
        path = volumes.paths.get(wanted.name)
        if path is None:
            raise BadMount(f'cannot find volume "{wanted.name}" to mount into container "{container.name}"')
        if wanted.recursive_read_only == "Enabled":
            what = "requested recursive read-only mode, but it is not supported by the runtime"
            raise BadMount(f'volume "{wanted.name}" {what}')
        sub_path = wanted.sub_path
        if wanted.sub_path_expr:
            sub_path = _expanded(wanted.sub_path_expr, environment)
        if sub_path:
            try:
                path = volumes.bind_subpath(wanted.name, container.name, index, sub_path)
            except (BadSubPath, OSError) as error:
                where = f'volumeMount "{wanted.name}" of container "{container.name}"'
                message = f"failed to prepare subPath for {where}"
                raise BadMount(f"{message}: {error}") from None
        elif not path.exists() and pod_volume_is_host_path(pod, wanted.name):
            path.mkdir(parents=True, exist_ok=True)
        mount = volume_mount(wanted, path)
        mount.readonly = mount.readonly or wanted.name in volumes.read_only
        made.append(mount)
    wants_hosts = all(mount.container_path != "/etc/hosts" for mount in made)
    if wants_hosts:
        made.append(Mount(container_path="/etc/hosts", host_path=str(_write_hosts(pod, ips, settings))))
    return made


def container_devices(container: Container | EphemeralContainer, volumes: PodVolumes) -> list[Device]:
    """The block devices of its volumes. Raises BadMount."""
    devices = []
    for wanted in container.volume_devices:
        path = volumes.devices.get(wanted.name)
        if path is None:
            raise BadMount(f'cannot find volume "{wanted.name}" to pass into container "{container.name}"')
        permissions = "mr" if wanted.name in volumes.read_only else "mrw"
        devices.append(
            Device(container_path=wanted.device_path, host_path=str(path.resolve()), permissions=permissions)
        )
    return devices


def pod_volume_is_host_path(pod: Pod, name: str) -> bool:
    return any(volume.name == name and volume.host_path is not None for volume in pod.spec.volumes)


def _expanded(expression: str, environment: dict[str, str]) -> str:
    missing: list[str] = []

    def lookup(name: str) -> str | None:
        if name not in environment:
            missing.append(name)
        return environment.get(name)

    text = expand(expression, lookup)
    if missing:
        raise BadMount(f"missing value for {', '.join(missing)!r} in subPathExpr {expression!r}")
    return text


def _write_hosts(pod: Pod, ips: tuple[str, ...], settings: KubeletSettings) -> Path:
    path = settings.pod_dir(pod.metadata.uid) / "etc-hosts"
    node_hosts = ""
    if pod.spec.host_network:
        try:
            node_hosts = Path("/etc/hosts").read_text()
        except OSError:
            node_hosts = "127.0.0.1\tlocalhost\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written in place: containers that run have this very file mounted.
    path.write_text(hosts_file(pod, ips, settings.cluster_domain, node_hosts))
    path.chmod(0o644)
    return path


def message_file(pod: Pod, container: Container | EphemeralContainer, attempt: int, settings: KubeletSettings) -> Path:
    """An empty file for the termination message of this attempt; writable for whoever the container runs as."""
    path = settings.pod_dir(pod.metadata.uid) / "containers" / container.name / str(attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    os.chmod(path, 0o666)  # noqa: S103 - see above
    return path
