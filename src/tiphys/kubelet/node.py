"""The Node object: registration, status, lease.

The lease is the heartbeat (every 10 s); the status is written when something in it changed, and every 5 minutes all the
same so that its heartbeat times move.

Source: pkg/kubelet/kubelet_node_status.go, pkg/kubelet/nodestatus/setters.go, client-go/../component-helpers lease.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from tiphys.api.codec import to_json
from tiphys.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from tiphys.api.kind import new
from tiphys.api.kinds import LEASE, NODE
from tiphys.api.kinds.coordination.lease import Lease, LeaseSpec
from tiphys.api.kinds.core.node import (
    ContainerImage,
    DaemonEndpoint,
    Node,
    NodeAddress,
    NodeCondition,
    NodeDaemonEndpoints,
    NodeStatus,
    NodeSystemInfo,
)
from tiphys.api.meta.schema import Quantity, copy_of
from tiphys.api.meta.types import OwnerReference
from tiphys.base.clock import Clock, rfc3339, rfc3339_micro
from tiphys.client.events import Recorder
from tiphys.client.interface import Client
from tiphys.kubelet import node_events
from tiphys.kubelet.capacity import Capacity
from tiphys.kubelet.cri.client import CriClient, RuntimeFailure
from tiphys.kubelet.images.oci import machine_architecture
from tiphys.kubelet.settings import KubeletSettings

_log = logging.getLogger(__name__)

DECLARED_FEATURES = (
    "ExtendWebSocketsToKubelet",
    "InPlacePodLevelResourcesVerticalScaling",
    "RestartAllContainersOnContainerExits",
)
"""What pods and API servers may count on here, and not on every kubelet (component-helpers nodedeclaredfeatures)."""
LEASE_NAMESPACE = "kube-node-lease"
_MAX_IMAGES = 50


class NodeReporter:
    """Keeps this node's Node and Lease objects."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        recorder: Recorder,
        cri: CriClient,
        settings: KubeletSettings,
        capacity: Capacity,
    ) -> None:
        self._client, self._clock, self._recorder, self._cri = client, clock, recorder, cri
        self._settings, self._capacity = settings, capacity
        self._lease: Lease | None = None
        self._images: list[ContainerImage] = []
        self._runtime_version = ""
        self._written_s = -1e9
        self.pressures: Callable[[], Collection[str]] = tuple
        """Which pressure conditions hold."""
        self._served: Node | None = None
        self.volumes_in_use: Callable[[], list[str]] = list
        """Attachable volumes that pods here have: nobody may detach them."""
        self.resources: Callable[[], tuple[Mapping[str, Quantity], Mapping[str, Quantity]]] = lambda: ({}, {})
        """More capacity and allocatable: what plugins offer."""
        self.shutdown_problem: Callable[[], str] = str
        """Empty: the machine goes on."""
        self.runtime_problem = "container runtime status check may not have completed yet"
        self.network_problem = "container runtime status check may not have completed yet"
        """Empty: pods can have a network."""

    @property
    def node(self) -> Node | None:
        """As the API last answered."""
        return self._served

    # --- the runtime's health ----------------------------------------------------------------------------------

    @property
    def runtime_knows_cdi(self) -> bool:
        """containerd does since 1.7."""
        name, _, version = self._runtime_version.partition("://")
        numbers = tuple(int(part) for part in version.lstrip("v").split(".")[:2] if part.isdigit())
        return bool(numbers) and (name != "containerd" or numbers >= (1, 7))

    async def check_runtime(self) -> bool:
        """Ask the runtime how it is; whether anything changed since the last time."""
        before = (self.runtime_problem, self.network_problem)
        try:
            status = (await self._cri.status()).status
            if not self._runtime_version:
                version = await self._cri.version()
                self._runtime_version = f"{version.runtime_name}://{version.runtime_version}"
        except RuntimeFailure as error:
            self._runtime_version = ""
            self.runtime_problem = f"[container runtime is down: {error}]"
            return before != (self.runtime_problem, self.network_problem)
        problems = {"RuntimeReady": "", "NetworkReady": ""}
        for condition in status.conditions if status else ():
            if condition.type in problems and not condition.status:
                what = f"{condition.type}=false reason:{condition.reason} message:{condition.message}"
                kind = (
                    "container runtime not ready"
                    if condition.type == "RuntimeReady"
                    else "container runtime network not ready"
                )
                problems[condition.type] = f"{kind}: {what}"
        self.runtime_problem, self.network_problem = problems["RuntimeReady"], problems["NetworkReady"]
        return before != (self.runtime_problem, self.network_problem)

    async def refresh_images(self) -> None:
        """The images for the node's status, the largest first."""
        try:
            listed = await self._cri.list_images()
        except RuntimeFailure as error:
            _log.warning("node %s: images not listed: %s", self._settings.node_name, error)
            return
        listed.sort(key=lambda image: -image.size)
        self._images = [
            ContainerImage(names=[*image.repo_digests, *image.repo_tags][:5], size_bytes=image.size)
            for image in listed[:_MAX_IMAGES]
        ]

    # --- registration and status -------------------------------------------------------------------------------

    async def register(self) -> Node:
        """Create the Node, or adopt the one that exists and set its labels. Raises ApiError."""
        wanted = new(NODE, self._settings.node_name)
        wanted.metadata.labels = self._labels()
        wanted.metadata.annotations = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
        wanted.status = self._status(NodeStatus())
        try:
            served = await self._client.create(NODE, wanted)
        except AlreadyExists:
            served = await self._client.get(NODE, self._settings.node_name)
            missing = {k: v for k, v in wanted.metadata.labels.items() if served.metadata.labels.get(k) != v}
            if missing:
                patch = {"metadata": {"labels": missing}}
                served = await self._client.patch(NODE, self._settings.node_name, patch)
        else:
            self._tell([], served.status.conditions)
        self._served = served
        return served

    async def report(self) -> None:
        """Write the status if it changed or is due. Raises ApiError."""
        served = self._served or await self.register()
        status = self._status(served.status)
        now_s = self._clock.monotonic()
        changed = _without_heartbeats(served.status) != _without_heartbeats(status)
        if not changed and now_s - self._written_s < self._settings.status_report_s:
            return
        if changed:
            # Conditions of others and what was added to capacity by hand stay: only the own fields are patched.
            _log.info("node %s: status changed", self._settings.node_name)
        before, after = to_json(served.status), to_json(status)
        gone: dict[str, object] = dict.fromkeys(before.keys() - after.keys())
        patch = {"status": gone | {key: value for key, value in after.items() if before.get(key) != value}}
        try:
            self._served = await self._client.patch(
                NODE, self._settings.node_name, patch, patch_type="strategic", subresource="status"
            )
        except NotFound:
            self._served = None
            await self.register()
        else:
            self._tell(served.status.conditions, status.conditions)
        self._written_s = now_s

    async def report_soon(self) -> None:
        """Conditions changed: say so now; what fails is said with the next round."""
        try:
            await self.report()
        except ApiError as error:
            _log.warning("node %s: status not written: %s", self._settings.node_name, error)

    def saw(self, node: Node) -> None:
        """The informer's copy, for what others write into it."""
        if self._served is not None and self._served.spec.unschedulable != node.spec.unschedulable:
            self._event("NodeNotSchedulable" if node.spec.unschedulable else "NodeSchedulable")
        self._served = node

    def _tell(self, before: Sequence[NodeCondition], after: Sequence[NodeCondition]) -> None:
        for reason in node_events.reasons(before, after):
            self._event(reason)

    def _event(self, reason: str) -> None:
        name = self._settings.node_name
        self._recorder.event(node_events.node_reference(name), "Normal", reason, f"Node {name} status is now: {reason}")

    def _labels(self) -> dict[str, str]:
        architecture = machine_architecture()
        return {
            "beta.kubernetes.io/arch": architecture,
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": architecture,
            "kubernetes.io/hostname": self._settings.node_name,
            "kubernetes.io/os": "linux",
            **self._settings.labels,
        }

    def _status(self, old: NodeStatus) -> NodeStatus:
        settings = self._settings
        status = copy_of(old)
        capacity, allocatable = self.resources()
        status.capacity = {**old.capacity, **self._capacity.quantities(), **capacity}
        status.allocatable = {**old.allocatable, **self._capacity.allocatable(), **allocatable}
        for name, amount in status.capacity.items():
            status.allocatable.setdefault(name, amount)
        status.addresses = [
            *(NodeAddress(type="InternalIP", address=address) for address in settings.node_ip.split(",")),
            NodeAddress(type="Hostname", address=settings.node_name),
        ]
        status.daemon_endpoints = NodeDaemonEndpoints(kubelet_endpoint=DaemonEndpoint(port=settings.port))
        status.node_info = self._info()
        status.images = self._images
        status.declared_features = list(DECLARED_FEATURES)
        status.volumes_in_use = self.volumes_in_use()
        now = rfc3339(self._clock.now())
        kept = {condition.type: condition for condition in old.conditions}
        low = self.pressures()
        made = (
            pressure("Memory", "MemoryPressure" in low, "insufficient memory available", "sufficient memory available"),
            pressure("Disk", "DiskPressure" in low, "disk pressure", "no disk pressure"),
            pressure("PID", "PIDPressure" in low, "insufficient PID available", "sufficient PID available"),
            self._ready(),
        )
        for condition in made:
            before = kept.get(condition.type)
            same = before is not None and before.status == condition.status
            condition.last_heartbeat_time = now
            condition.last_transition_time = before.last_transition_time if before and same else now
            kept[condition.type] = condition
        status.conditions = list(kept.values())
        return status

    def _ready(self) -> NodeCondition:
        problems = [each for each in (self.runtime_problem, self.network_problem, self.shutdown_problem()) if each]
        if not problems:
            return NodeCondition(
                type="Ready", status="True", reason="KubeletReady", message="kubelet is posting ready status"
            )
        message = problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]"
        return NodeCondition(type="Ready", status="False", reason="KubeletNotReady", message=message)

    def _info(self) -> NodeSystemInfo:
        return NodeSystemInfo(
            machine_id=_first_line("/etc/machine-id"),
            system_uuid=_first_line("/sys/class/dmi/id/product_uuid") or _first_line("/etc/machine-id"),
            boot_id=_first_line("/proc/sys/kernel/random/boot_id"),
            kernel_version=platform.release(),
            os_image=_os_name(),
            container_runtime_version=self._runtime_version or "containerd://unknown",
            kubelet_version=self._settings.kubelet_version,
            kube_proxy_version="",
            operating_system="linux",
            architecture=machine_architecture(),
        )

    # --- the lease ---------------------------------------------------------------------------------------------

    async def renew_lease(self) -> None:
        """Write the present time into the node's lease, making it when it is missing. Raises ApiError."""
        name = self._settings.node_name
        lease = self._lease
        try:
            if lease is None:
                lease = await self._client.get(LEASE, name, LEASE_NAMESPACE)
            lease = copy_of(lease)
            self._fill(lease)
            self._lease = await self._client.update(LEASE, lease)
        except NotFound:
            made = new(LEASE, name, LEASE_NAMESPACE)
            self._fill(made)
            self._lease = await self._client.create(LEASE, made)
        except Conflict:
            self._lease = None
            raise

    def _fill(self, lease: Lease) -> None:
        lease.spec = LeaseSpec(
            holder_identity=self._settings.node_name,
            lease_duration_seconds=self._settings.lease_duration_s,
            renew_time=rfc3339_micro(self._clock.now()),
        )
        if not lease.metadata.owner_references and self._served is not None and self._served.metadata.uid:
            lease.metadata.owner_references = [
                OwnerReference(
                    api_version="v1", kind="Node", name=self._settings.node_name, uid=self._served.metadata.uid
                )
            ]

    async def lease_loop(self) -> None:
        """Renew at a quarter of the lease's life until cancelled; try again soon when that fails."""
        failures = 0
        while True:
            try:
                await self.renew_lease()
                failures = 0
            except ApiError as error:
                failures += 1
                _log.warning("node %s: lease not renewed: %s", self._settings.node_name, error)
            regular_s = self._settings.lease_duration_s / 4
            await self._clock.sleep(min(0.2 * 2 ** min(failures, 6), 7.0) if failures else regular_s)

    async def status_loop(self, changed: Callable[[], None]) -> None:
        """Check the runtime (every 10 s; every 0.2 s until it is ready) and report. `changed()` wakes waiting pods."""
        rounds = 0
        while True:
            news = await self.check_runtime()
            if rounds % 6 == 0 or news:
                await self.refresh_images()
            try:
                await self.report()
            except ApiError as error:
                _log.warning("node %s: status not written: %s", self._settings.node_name, error)
            if news:
                changed()
            rounds += 1
            starting = bool(self.runtime_problem or self.network_problem) and rounds < 300
            await self._clock.sleep(0.2 if starting else 10.0)


def pressure(what: str, low: bool, bad: str, good: str) -> NodeCondition:
    """A pressure condition with upstream's reasons and messages."""
    has = f"KubeletHas{'Insufficient' if low else 'Sufficient'}{what}"
    if what == "Disk":
        has = "KubeletHasDiskPressure" if low else "KubeletHasNoDiskPressure"
    return NodeCondition(
        type=f"{what}Pressure",
        status="True" if low else "False",
        reason=has,
        message=f"kubelet has {bad if low else good}",
    )


def _without_heartbeats(status: NodeStatus) -> Mapping[str, object]:
    value: dict[str, object] = to_json(status)
    conditions: Sequence[Mapping[str, object]] = value.get("conditions", [])  # type: ignore[assignment]  # JSON
    value["conditions"] = [{k: v for k, v in c.items() if k != "lastHeartbeatTime"} for c in conditions]
    return value


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
