"""What a pod gets where its author said nothing.

`default_spec` is for every pod spec, also inside templates; `default_pod` adds what only real pods get.

Source: pkg/apis/core/v1/defaults.go, zz_generated.defaults.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter

from tiphys.api.kinds.core.pod import facts
from tiphys.api.kinds.core.pod.containers import Container, EphemeralContainer, LifecycleHandler, Probe
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodSecurityContext, PodSpec
from tiphys.api.kinds.core.pod.volumes import EmptyDirVolumeSource, ProjectedVolumeSource, Volume
from tiphys.api.meta.schema import Quantity
from tiphys.base import quantity

FILE_MODE = 0o644
TERMINATION_GRACE_PERIOD_S = 30
SERVICE_ACCOUNT_TOKEN_S = 3600
DEFAULT_SCHEDULER = "default-scheduler"

_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)?{_PATH}(?:/{_PATH})*"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)


def image_pull_policy(image: str) -> str:
    """`Always` for the tag `latest`, which is also what no tag means; else `IfNotPresent`."""
    match = _IMAGE.fullmatch(image)
    if match is None:
        return "IfNotPresent"
    tag = match["tag"] or ("" if match["digest"] else "latest")
    return "Always" if tag == "latest" else "IfNotPresent"


def default_pod(pod: Pod) -> None:
    """Fill a pod. Idempotent."""
    spec = pod.spec
    for container in (*spec.containers, *spec.init_containers):
        for resource, limit in container.resources.limits.items():
            container.resources.requests.setdefault(resource, limit)
    _default_pod_resources(spec)
    if spec.enable_service_links is None:
        spec.enable_service_links = True
    if spec.host_network:
        for container in (*spec.containers, *spec.init_containers):
            for port in container.ports:
                port.host_port = port.host_port or port.container_port
    default_spec(spec)
    # Upstream converts it so in pods, and not in templates (pkg/apis/core/v1/conversion.go).
    if (spec.termination_grace_period_seconds or 0) < 0:
        spec.termination_grace_period_seconds = 1


def _default_pod_resources(spec: PodSpec) -> None:
    """Pod-level requests follow from the containers', or else from the pod-level limits."""
    resources = spec.resources
    if resources is None:
        return
    if resources.limits or resources.requests:
        for resource, total in facts.aggregate(spec, "limits").items():
            if resource.startswith("hugepages-") and resource not in resources.requests:
                resources.limits.setdefault(resource, Quantity(quantity.from_value(total, binary=True)))
    if not resources.limits:
        return
    for resource, total in facts.aggregate(spec, "requests").items():
        if resource == "cpu":
            resources.requests.setdefault(resource, Quantity(quantity.from_milli(total)))
        elif resource == "memory":
            resources.requests.setdefault(resource, Quantity(quantity.from_value(total, binary=True)))
    for resource, limit in resources.limits.items():
        if facts.is_pod_level(resource):
            resources.requests.setdefault(resource, limit)


def default_spec(spec: PodSpec) -> None:
    """Fill a pod spec, of a pod or of a template. Idempotent."""
    spec.dns_policy = spec.dns_policy or "ClusterFirst"
    spec.restart_policy = spec.restart_policy or "Always"
    # The old name of the field counts where the new one is missing, and says the same ever after.
    spec.service_account_name = spec.service_account_name or spec.service_account
    spec.service_account = spec.service_account_name
    spec.scheduler_name = spec.scheduler_name or DEFAULT_SCHEDULER
    if spec.security_context is None:
        spec.security_context = PodSecurityContext()
    if spec.termination_grace_period_seconds is None:
        spec.termination_grace_period_seconds = TERMINATION_GRACE_PERIOD_S
    for volume in spec.volumes:
        _default_volume(volume)
    for container in (*spec.init_containers, *spec.containers):
        _default_container(container)
    for debugger in spec.ephemeral_containers:
        _default_container(debugger)
    _round_up(spec.overhead)
    if spec.resources is not None:
        _round_up(spec.resources.limits)
        _round_up(spec.resources.requests)


def _round_up(resources: dict[str, Quantity]) -> None:
    """Nothing finer than a thousandth."""
    for resource, text in resources.items():
        if text.endswith(("n", "u")):
            resources[resource] = Quantity(quantity.from_milli(quantity.milli(text)))


def _default_container(container: Container | EphemeralContainer) -> None:
    container.image_pull_policy = container.image_pull_policy or image_pull_policy(container.image)
    container.termination_message_path = container.termination_message_path or "/dev/termination-log"
    container.termination_message_policy = container.termination_message_policy or "File"
    for port in container.ports:
        port.protocol = port.protocol or "TCP"
    for variable in container.env:
        source = variable.value_from
        if source is None:
            continue
        if source.field_ref is not None:
            source.field_ref.api_version = source.field_ref.api_version or "v1"
        if source.file_key_ref is not None and source.file_key_ref.optional is None:
            source.file_key_ref.optional = False
    _round_up(container.resources.limits)
    _round_up(container.resources.requests)
    for probe in (container.liveness_probe, container.readiness_probe, container.startup_probe):
        if probe is not None:
            _default_probe(probe)
    if container.lifecycle is not None:
        for handler in (container.lifecycle.post_start, container.lifecycle.pre_stop):
            if handler is not None:
                _default_http_get(handler)


def _default_probe(probe: Probe) -> None:
    probe.timeout_seconds = probe.timeout_seconds or 1
    probe.period_seconds = probe.period_seconds or 10
    probe.success_threshold = probe.success_threshold or 1
    probe.failure_threshold = probe.failure_threshold or 3
    _default_http_get(probe)
    if probe.grpc is not None and probe.grpc.service is None:
        probe.grpc.service = ""


def _default_http_get(handler: Probe | LifecycleHandler) -> None:
    if handler.http_get is not None:
        handler.http_get.path = handler.http_get.path or "/"
        handler.http_get.scheme = handler.http_get.scheme or "HTTP"


_SOURCES = tuple(name for name in Volume.__struct_fields__ if name != "name")
_sources_of: Callable[[Volume], tuple[object, ...]] = attrgetter(*_SOURCES)


def _default_volume(volume: Volume) -> None:
    if _sources_of(volume).count(None) == len(_SOURCES):
        volume.empty_dir = EmptyDirVolumeSource()
    if volume.host_path is not None and volume.host_path.type is None:
        volume.host_path.type = ""
    for source in (volume.secret, volume.config_map, volume.downward_api, volume.projected):
        if source is not None and source.default_mode is None:
            source.default_mode = FILE_MODE
    if volume.downward_api is not None:
        for item in volume.downward_api.items:
            if item.field_ref is not None:
                item.field_ref.api_version = item.field_ref.api_version or "v1"
    if volume.projected is not None:
        _default_projected(volume.projected)
    if volume.image is not None:
        volume.image.pull_policy = volume.image.pull_policy or image_pull_policy(volume.image.reference)
    if volume.ephemeral is not None and volume.ephemeral.volume_claim_template is not None:
        claim = volume.ephemeral.volume_claim_template.spec
        claim.volume_mode = claim.volume_mode or "Filesystem"
        _round_up(claim.resources.limits)
        _round_up(claim.resources.requests)
    _default_network_disk(volume)


def _default_projected(projected: ProjectedVolumeSource) -> None:
    for source in projected.sources:
        if source.downward_api is not None:
            for item in source.downward_api.items:
                if item.field_ref is not None:
                    item.field_ref.api_version = item.field_ref.api_version or "v1"
        token = source.service_account_token
        if token is not None and token.expiration_seconds is None:
            token.expiration_seconds = SERVICE_ACCOUNT_TOKEN_S


def _default_network_disk(volume: Volume) -> None:
    if volume.iscsi is not None:
        volume.iscsi.iscsi_interface = volume.iscsi.iscsi_interface or "default"
    if volume.rbd is not None:
        volume.rbd.pool = volume.rbd.pool or "rbd"
        volume.rbd.user = volume.rbd.user or "admin"
        volume.rbd.keyring = volume.rbd.keyring or "/etc/ceph/keyring"
    if volume.scale_io is not None:
        volume.scale_io.storage_mode = volume.scale_io.storage_mode or "ThinProvisioned"
        volume.scale_io.fs_type = volume.scale_io.fs_type or "xfs"
    disk = volume.azure_disk
    if disk is not None:
        disk.caching_mode = "ReadWrite" if disk.caching_mode is None else disk.caching_mode
        disk.kind = "Shared" if disk.kind is None else disk.kind
        disk.fs_type = "ext4" if disk.fs_type is None else disk.fs_type
        disk.read_only = False if disk.read_only is None else disk.read_only
