"""Node. Source: staging/src/k8s.io/api/core/v1/types.go, pkg/apis/core/validation/validation.go."""

import re
from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, forbidden, invalid
from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.columns import AGE, NAME, NONE, UNKNOWN
from tiphys.api.kinds.core import checks
from tiphys.api.kinds.core.references import Taint
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Quantity, Struct, Time, copy_of, empty_list, field, proto
from tiphys.api.meta.validation import each


class ConfigMapNodeConfigSource(Struct):
    """A ConfigMap with a kubelet's configuration (gone upstream)."""

    namespace: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    uid: Annotated[str, proto(3)] = ""
    resource_version: Annotated[str, proto(4)] = ""
    kubelet_config_key: Annotated[str, proto(5, required=True)] = field(default_factory=str)


class NodeConfigSource(Struct):
    """Where a kubelet's configuration comes from (gone upstream)."""

    config_map: Annotated[ConfigMapNodeConfigSource | None, proto(2)] = None


class NodeSpec(Struct):
    """The node's addresses for pods, its taints, whether it takes pods."""

    pod_cidr: Annotated[str, proto(1)] = ""
    pod_cidrs: Annotated[list[str], proto(7, merge=True, list_type="set")] = []
    provider_id: Annotated[str, proto(3)] = ""
    unschedulable: Annotated[bool, proto(4)] = False
    taints: Annotated[list[Taint], proto(5, list_type="atomic")] = []
    config_source: Annotated[NodeConfigSource | None, proto(6)] = None
    external_id: Annotated[str, proto(2)] = ""


class NodeAddress(Struct):
    """An address or name of the node."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    address: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class DaemonEndpoint(Struct):
    """The port of a daemon."""

    port: Annotated[Int32, proto(1, required=True)] = field(default_factory=int, name="Port")


class NodeDaemonEndpoints(Struct):
    """Where the node's daemons listen."""

    kubelet_endpoint: Annotated[DaemonEndpoint, proto(1)] = field(default_factory=DaemonEndpoint)


class NodeCondition(Struct):
    """One aspect of a node's state."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_heartbeat_time: Annotated[Time | None, proto(3)] = None
    last_transition_time: Annotated[Time | None, proto(4)] = None
    reason: Annotated[str, proto(5)] = ""
    message: Annotated[str, proto(6)] = ""


class NodeSwapStatus(Struct):
    """The node's swap."""

    capacity: Annotated[int | None, proto(1)] = None


class NodeSystemInfo(Struct):
    """Kernel, system and versions of the node."""

    machine_id: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    system_uuid: Annotated[str, proto(2, required=True)] = field(default_factory=str, name="systemUUID")
    boot_id: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    kernel_version: Annotated[str, proto(4, required=True)] = field(default_factory=str)
    os_image: Annotated[str, proto(5, required=True)] = field(default_factory=str)
    container_runtime_version: Annotated[str, proto(6, required=True)] = field(default_factory=str)
    kubelet_version: Annotated[str, proto(7, required=True)] = field(default_factory=str)
    kube_proxy_version: Annotated[str, proto(8, required=True)] = field(default_factory=str)
    operating_system: Annotated[str, proto(9, required=True)] = field(default_factory=str)
    architecture: Annotated[str, proto(10, required=True)] = field(default_factory=str)
    swap: Annotated[NodeSwapStatus | None, proto(11)] = None


class ContainerImage(Struct):
    """An image on the node."""

    names: Annotated[list[str], proto(1, list_type="atomic")] = field(default_factory=empty_list)
    size_bytes: Annotated[int, proto(2)] = 0


class AttachedVolume(Struct):
    """A volume attached to the node."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    device_path: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class NodeConfigStatus(Struct):
    """Which configuration a kubelet uses (gone upstream)."""

    assigned: Annotated[NodeConfigSource | None, proto(1)] = None
    active: Annotated[NodeConfigSource | None, proto(2)] = None
    last_known_good: Annotated[NodeConfigSource | None, proto(3)] = None
    error: Annotated[str, proto(4)] = ""


class NodeRuntimeHandlerFeatures(Struct):
    """What a runtime handler can do."""

    recursive_read_only_mounts: Annotated[bool | None, proto(1)] = None
    user_namespaces: Annotated[bool | None, proto(2)] = None


class NodeRuntimeHandler(Struct):
    """A way of the runtime to run containers."""

    name: Annotated[str, proto(1)] = field(default_factory=str)
    features: Annotated[NodeRuntimeHandlerFeatures | None, proto(2)] = None


class NodeFeatures(Struct):
    """What the node's runtime can do whatever the handler."""

    supplemental_groups_policy: Annotated[bool | None, proto(1)] = None


class NodeStatus(Struct):
    """What the node has, how it fares, what is on it."""

    capacity: Annotated[dict[str, Quantity], proto(1)] = {}
    allocatable: Annotated[dict[str, Quantity], proto(2)] = {}
    phase: Annotated[str, proto(3)] = ""
    conditions: Annotated[
        list[NodeCondition], proto(4, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []
    addresses: Annotated[list[NodeAddress], proto(5, merge_key="type", list_type="map", list_map_keys=("type",))] = []
    daemon_endpoints: Annotated[NodeDaemonEndpoints, proto(6)] = field(default_factory=NodeDaemonEndpoints)
    node_info: Annotated[NodeSystemInfo, proto(7)] = field(default_factory=NodeSystemInfo)
    images: Annotated[list[ContainerImage], proto(8, list_type="atomic")] = []
    volumes_in_use: Annotated[list[str], proto(9, list_type="atomic")] = []
    volumes_attached: Annotated[list[AttachedVolume], proto(10, list_type="atomic")] = []
    config: Annotated[NodeConfigStatus | None, proto(11)] = None
    runtime_handlers: Annotated[list[NodeRuntimeHandler], proto(12, list_type="atomic")] = []
    features: Annotated[NodeFeatures | None, proto(13)] = None
    declared_features: Annotated[list[str], proto(14, list_type="atomic")] = []


class Node(Resource):
    """A machine that runs pods."""

    spec: Annotated[NodeSpec, proto(2)] = field(default_factory=NodeSpec)
    status: Annotated[NodeStatus, proto(3)] = field(default_factory=NodeStatus)


ROLE_PREFIX, ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"


def _default(node: Node) -> None:
    if not node.status.allocatable:
        node.status.allocatable = dict(node.status.capacity)
    spec = node.spec
    # The single range and the first of the list say the same; the single one counts.
    if spec.pod_cidr and spec.pod_cidrs[:1] != [spec.pod_cidr]:
        spec.pod_cidrs = [spec.pod_cidr]
    elif spec.pod_cidrs and not spec.pod_cidr:
        spec.pod_cidr = spec.pod_cidrs[0]


def _prepare(node: Node, old: Node | None) -> None:
    if old is not None:
        node.status = copy_of(old.status)


def _prepare_status(node: Node, old: Node) -> None:
    node.spec = copy_of(old.spec)


def _validate(node: Node, old: Node | None) -> Iterator[FieldError]:
    for title, resources in (("capacity", node.status.capacity), ("allocatable", node.status.allocatable)):
        for resource, amount in resources.items():
            yield from checks.quantity_value(f"status.{title}.{resource}", resource, amount)
    yield from checks.taints("metadata.taints", node.spec.taints)
    yield from _features(node.status.declared_features)
    if old is None:
        yield from _validate_cidrs(node.spec.pod_cidrs)
    else:
        yield from _validate_update(node, old)


_FEATURE_MAX = 253
_FEATURE = re.compile(r"[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*")


def _features(declared: list[str]) -> Iterator[FieldError]:
    """Names of features that a node says it has: sorted, each once."""
    before = ""
    for index, name in enumerate(declared):
        path = f"status.declaredFeatures[{index}]"
        wrong = ""
        if len(name) > _FEATURE_MAX:
            wrong = f"must be no more than {_FEATURE_MAX} characters"
        elif not _FEATURE.fullmatch(name):
            wrong = (
                "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature "
                "or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
            )
        if index and name == before:
            yield duplicate(path, name)
        elif name < before:
            yield invalid(path, name, "list must be sorted alphabetically")
        if wrong:
            yield invalid(path, name, f'invalid feature name "{name}": {wrong}')
        before = name


def _validate_cidrs(cidrs: list[str]) -> Iterator[FieldError]:
    for index, cidr in enumerate(cidrs):
        yield from each(f"spec.podCIDRs[{index}]", cidr, names.cidr(cidr))
    families = [":" in cidr for cidr in cidrs]
    if len(cidrs) != len(set(families)):
        yield invalid("spec.podCIDRs", cidrs, "may specify no more than one CIDR for each IP family")


def _validate_update(node: Node, old: Node) -> Iterator[FieldError]:
    seen: set[tuple[str, str]] = set()
    for index, address in enumerate(node.status.addresses):
        if (address.type, address.address) in seen:
            yield duplicate(f"status.addresses[{index}]", address)
        seen.add((address.type, address.address))
    if old.spec.pod_cidrs and old.spec.pod_cidrs != node.spec.pod_cidrs:
        yield forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if old.spec.provider_id and old.spec.provider_id != node.spec.provider_id:
        yield forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')
    if old.spec.external_id != node.spec.external_id:
        yield forbidden("spec.externalID", "may not be updated")


def _status_text(node: Node) -> str:
    words = ["Ready" if c.status == "True" else "NotReady" for c in node.status.conditions if c.type == "Ready"][-1:]
    words = words or ["Unknown"]
    if node.spec.unschedulable:
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(node: Node) -> str:
    roles = {key.removeprefix(ROLE_PREFIX) for key in node.metadata.labels if key.startswith(ROLE_PREFIX)}
    roles.add(node.metadata.labels.get(ROLE_LABEL, ""))
    return ",".join(sorted(roles - {""})) or NONE


def address_of(node: Node, type_: str) -> str:
    """The node's first address of this type (`InternalIP`, `Hostname`...); empty if it has none."""
    return next((address.address for address in node.status.addresses if address.type == type_), "")


def _kernel(node: Node) -> str:
    info = node.status.node_info
    return (info.kernel_version or UNKNOWN) + (f" ({info.architecture})" if info.architecture else "")


COLUMNS: tuple[Column[Node], ...] = (
    NAME,
    Column("Status", "string", _status_text, "Whether the node can run pods."),
    Column("Roles", "string", _roles, "What the node is for, by its labels."),
    AGE,
    Column("Version", "string", lambda node: node.status.node_info.kubelet_version, "The kubelet's version."),
    Column("Internal-IP", "string", lambda node: address_of(node, "InternalIP") or NONE, "In the cluster.", wide=True),
    Column("External-IP", "string", lambda node: address_of(node, "ExternalIP") or NONE, "From outside.", wide=True),
    Column("OS-Image", "string", lambda node: node.status.node_info.os_image or UNKNOWN, "Its system.", wide=True),
    Column("Kernel-Version", "string", _kernel, "Its kernel and architecture.", wide=True),
    Column(
        "Container-Runtime",
        "string",
        lambda node: node.status.node_info.container_runtime_version or UNKNOWN,
        "What runs its containers.",
        wide=True,
    ),
)


NODE = Kind(
    group="",
    version="v1",
    kind="Node",
    plural="nodes",
    schema=Node,
    namespaced=False,
    short_names=("no",),
    storage_name="minions",
    subresources=(
        Subresource("proxy", ("create", "delete", "get", "patch", "update"), "NodeProxyOptions"),
        Subresource("status", ("get", "patch", "update")),
    ),
    default=_default,
    prepare=_prepare,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_status=_validate,
    fields={"spec.unschedulable": lambda node: "true" if node.spec.unschedulable else "false"},
    columns=COLUMNS,
)
