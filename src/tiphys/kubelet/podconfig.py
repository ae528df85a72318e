"""From a pod to the runtime's configurations of its sandbox and containers. Pure.

Source: pkg/kubelet/kuberuntime/kuberuntime_sandbox.go, kuberuntime_container.go, labels.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.api.kinds.core.pod.containers import Container, EphemeralContainer, VolumeMount
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.kubelet.cri.common import (
    DNSConfig,
    ImageSpec,
    KeyValue,
    LinuxContainerResources,
    LinuxContainerSecurityContext,
    LinuxPodSandboxConfig,
    Mount,
    PodSandboxConfig,
    PodSandboxMetadata,
    PortMapping,
)
from tiphys.kubelet.cri.containers import (
    SIGNALS,
    CDIDevice,
    ContainerConfig,
    ContainerMetadata,
    Device,
    LinuxContainerConfig,
)
from tiphys.kubelet.environment import expand
from tiphys.kubelet.hosts import Resolver, domain_of, hostname_of
from tiphys.kubelet.lifecycle import spec_hash
from tiphys.kubelet.security import sandbox_context
from tiphys.kubelet.state import (
    ANNOTATION_GRACE,
    ANNOTATION_HASH,
    ANNOTATION_MESSAGE_PATH,
    ANNOTATION_MESSAGE_POLICY,
    ANNOTATION_RESTARTS,
    LABEL_CONTAINER,
    LABEL_POD_NAME,
    LABEL_POD_NAMESPACE,
    LABEL_POD_UID,
)

_PROTOCOLS = {"TCP": 0, "UDP": 1, "SCTP": 2}
_PROPAGATION = {"HostToContainer": 1, "Bidirectional": 2}


def pod_labels(pod: Pod) -> dict[str, str]:
    """How the runtime's objects say whose they are."""
    return {
        LABEL_POD_NAME: pod.metadata.name,
        LABEL_POD_NAMESPACE: pod.metadata.namespace,
        LABEL_POD_UID: pod.metadata.uid,
    }


def sandbox_config(
    pod: Pod, attempt: int, logs: Path, resolver: Resolver, cgroup_parent: str, cluster_domain: str
) -> PodSandboxConfig:
    hostname = hostname_of(pod)
    if pod.spec.set_hostname_as_fqdn and (domain := domain_of(pod, cluster_domain)):
        hostname = f"{hostname}.{domain}"
    context = pod.spec.security_context
    return PodSandboxConfig(
        metadata=PodSandboxMetadata(
            name=pod.metadata.name, uid=pod.metadata.uid, namespace=pod.metadata.namespace, attempt=attempt
        ),
        hostname="" if pod.spec.host_network else hostname,
        log_directory=str(logs),
        dns_config=DNSConfig(
            servers=list(resolver.servers), searches=list(resolver.searches), options=list(resolver.options)
        ),
        port_mappings=[] if pod.spec.host_network else _port_mappings(pod),
        labels=dict(pod.metadata.labels) | pod_labels(pod),
        annotations=dict(pod.metadata.annotations),
        linux=LinuxPodSandboxConfig(
            cgroup_parent=cgroup_parent,
            security_context=sandbox_context(pod),
            sysctls={sysctl.name.replace("/", "."): sysctl.value for sysctl in (context.sysctls if context else [])},
        ),
    )


def _port_mappings(pod: Pod) -> list[PortMapping]:
    return [
        PortMapping(
            protocol=_PROTOCOLS.get(port.protocol or "TCP", 0),
            container_port=port.container_port,
            host_port=port.host_port,
            host_ip=port.host_ip,
        )
        for container in (*pod.spec.init_containers, *pod.spec.containers)
        for port in container.ports
        if port.host_port
    ]


@dataclass(frozen=True, slots=True)
class Parts:
    """What had to be looked up or made for one container."""

    attempt: int
    image_ref: str
    environment: Mapping[str, str]
    mounts: Sequence[Mount]
    devices: Sequence[Device]
    resources: LinuxContainerResources
    security: LinuxContainerSecurityContext
    message_file: Path | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    cdi_devices: Sequence[str] = ()


def container_config(pod: Pod, container: Container | EphemeralContainer, parts: Parts) -> ContainerConfig:
    mounts = list(parts.mounts)
    message_path = container.termination_message_path
    if parts.message_file is not None and message_path:
        mounts.append(Mount(container_path=message_path, host_path=str(parts.message_file)))
    get = parts.environment.get
    stop = container.lifecycle.stop_signal if container.lifecycle else None
    config = ContainerConfig(
        metadata=ContainerMetadata(name=container.name, attempt=parts.attempt),
        image=ImageSpec(image=parts.image_ref, user_specified_image=container.image),
        command=[expand(word, get) for word in container.command],
        args=[expand(word, get) for word in container.args],
        working_dir=container.working_dir,
        envs=[
            KeyValue(key=name, value=value.encode("utf-8", "surrogateescape"))
            for name, value in parts.environment.items()
        ],
        mounts=mounts,
        devices=list(parts.devices),
        labels=pod_labels(pod) | {LABEL_CONTAINER: container.name},
        annotations=_annotations(pod, container, parts.attempt) | dict(parts.annotations),
        log_path=f"{container.name}/{parts.attempt}.log",
        stdin=container.stdin,
        stdin_once=container.stdin_once,
        tty=container.tty,
        cdi_devices=[CDIDevice(name=name) for name in parts.cdi_devices],
        linux=LinuxContainerConfig(resources=parts.resources, security_context=parts.security),
    )
    if stop:
        name = stop.replace("+", "PLUS").replace("-", "MINUS")
        config.stop_signal = SIGNALS.index(name) if name in SIGNALS else 0
    return config


def _annotations(pod: Pod, container: Container | EphemeralContainer, attempt: int) -> dict[str, str]:
    annotations = {
        ANNOTATION_HASH: spec_hash(container),
        ANNOTATION_RESTARTS: str(attempt),
        ANNOTATION_MESSAGE_PATH: container.termination_message_path,
        ANNOTATION_MESSAGE_POLICY: container.termination_message_policy,
    }
    grace = pod.spec.termination_grace_period_seconds
    if grace is not None:
        annotations[ANNOTATION_GRACE] = str(grace)
    return annotations


def volume_mount(mount: VolumeMount, host_path: Path) -> Mount:
    path = mount.mount_path if mount.mount_path.startswith("/") else f"/{mount.mount_path}"
    return Mount(
        container_path=path,
        host_path=str(host_path),
        readonly=mount.read_only,
        propagation=_PROPAGATION.get(mount.mount_propagation or "", 0),
    )
