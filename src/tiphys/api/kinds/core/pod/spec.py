"""What a pod should be. Source: staging/src/k8s.io/api/core/v1/types.go."""

from typing import Annotated

from tiphys.api.kinds.core.pod.containers import (
    AppArmorProfile,
    Container,
    EphemeralContainer,
    ResourceRequirements,
    SeccompProfile,
    SELinuxOptions,
    WindowsSecurityContextOptions,
)
from tiphys.api.kinds.core.pod.placement import Affinity, TopologySpreadConstraint
from tiphys.api.kinds.core.pod.volumes import Volume
from tiphys.api.kinds.core.references import LocalObjectReference, Toleration
from tiphys.api.meta.schema import Int32, Quantity, Struct, empty_list, field, proto
from tiphys.api.meta.types import ObjectMeta


class Sysctl(Struct):
    """A kernel setting of the pod."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    value: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class PodSecurityContext(Struct):
    """As whom the pod's containers run, unless they say otherwise."""

    se_linux_options: Annotated[SELinuxOptions | None, proto(1)] = None
    windows_options: Annotated[WindowsSecurityContextOptions | None, proto(8)] = None
    run_as_user: Annotated[int | None, proto(2)] = None
    run_as_group: Annotated[int | None, proto(6)] = None
    run_as_non_root: Annotated[bool | None, proto(3)] = None
    supplemental_groups: Annotated[list[int], proto(4, list_type="atomic")] = []
    supplemental_groups_policy: Annotated[str | None, proto(12)] = None
    fs_group: Annotated[int | None, proto(5)] = None
    sysctls: Annotated[list[Sysctl], proto(7, list_type="atomic")] = []
    fs_group_change_policy: Annotated[str | None, proto(9)] = None
    seccomp_profile: Annotated[SeccompProfile | None, proto(10)] = None
    app_armor_profile: Annotated[AppArmorProfile | None, proto(11)] = None
    se_linux_change_policy: Annotated[str | None, proto(13)] = None


class HostAlias(Struct):
    """An entry of the pod's hosts file."""

    ip: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    hostnames: Annotated[list[str], proto(2, list_type="atomic")] = []


class PodDNSConfigOption(Struct):
    """An option of the resolver."""

    name: Annotated[str, proto(1)] = ""
    value: Annotated[str | None, proto(2)] = None


class PodDNSConfig(Struct):
    """What the pod's resolver uses beyond its DNS policy."""

    nameservers: Annotated[list[str], proto(1, list_type="atomic")] = []
    searches: Annotated[list[str], proto(2, list_type="atomic")] = []
    options: Annotated[list[PodDNSConfigOption], proto(3, list_type="atomic")] = []


class PodReadinessGate(Struct):
    """A condition that must be true for the pod to be ready."""

    condition_type: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class PodOS(Struct):
    """The system the pod is for."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class PodSchedulingGate(Struct):
    """Something that must be removed before the pod is scheduled."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class PodResourceClaim(Struct):
    """A claim for devices, by name or to be made from a template."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    resource_claim_name: Annotated[str | None, proto(3)] = None
    resource_claim_template_name: Annotated[str | None, proto(4)] = None


class PodSchedulingGroup(Struct):
    """The group the pod is scheduled with."""

    pod_group_name: Annotated[str | None, proto(1)] = None


class PodSpec(Struct):
    """The containers, volumes and placement of a pod."""

    volumes: Annotated[
        list[Volume], proto(1, merge_key="name", retain_keys=True, list_type="map", list_map_keys=("name",))
    ] = []
    init_containers: Annotated[
        list[Container], proto(20, merge_key="name", list_type="map", list_map_keys=("name",))
    ] = []
    containers: Annotated[
        list[Container], proto(2, required=True, merge_key="name", list_type="map", list_map_keys=("name",))
    ] = field(default_factory=empty_list)
    ephemeral_containers: Annotated[
        list[EphemeralContainer], proto(34, merge_key="name", list_type="map", list_map_keys=("name",))
    ] = []
    restart_policy: Annotated[str, proto(3)] = ""
    termination_grace_period_seconds: Annotated[int | None, proto(4)] = None
    active_deadline_seconds: Annotated[int | None, proto(5)] = None
    dns_policy: Annotated[str, proto(6)] = ""
    node_selector: Annotated[dict[str, str], proto(7, atomic=True)] = {}
    service_account_name: Annotated[str, proto(8)] = ""
    service_account: Annotated[str, proto(9)] = ""
    automount_service_account_token: Annotated[bool | None, proto(21)] = None
    node_name: Annotated[str, proto(10)] = ""
    host_network: Annotated[bool, proto(11)] = False
    host_pid: Annotated[bool, proto(12)] = False
    host_ipc: Annotated[bool, proto(13)] = False
    share_process_namespace: Annotated[bool | None, proto(27)] = None
    security_context: Annotated[PodSecurityContext | None, proto(14)] = None
    image_pull_secrets: Annotated[
        list[LocalObjectReference], proto(15, merge_key="name", list_type="map", list_map_keys=("name",))
    ] = []
    hostname: Annotated[str, proto(16)] = ""
    subdomain: Annotated[str, proto(17)] = ""
    affinity: Annotated[Affinity | None, proto(18)] = None
    scheduler_name: Annotated[str, proto(19)] = ""
    tolerations: Annotated[list[Toleration], proto(22, list_type="atomic")] = []
    host_aliases: Annotated[list[HostAlias], proto(23, merge_key="ip", list_type="map", list_map_keys=("ip",))] = []
    priority_class_name: Annotated[str, proto(24)] = ""
    priority: Annotated[Int32 | None, proto(25)] = None
    dns_config: Annotated[PodDNSConfig | None, proto(26)] = None
    readiness_gates: Annotated[list[PodReadinessGate], proto(28, list_type="atomic")] = []
    runtime_class_name: Annotated[str | None, proto(29)] = None
    enable_service_links: Annotated[bool | None, proto(30)] = None
    preemption_policy: Annotated[str | None, proto(31)] = None
    overhead: Annotated[dict[str, Quantity], proto(32)] = {}
    topology_spread_constraints: Annotated[
        list[TopologySpreadConstraint],
        proto(
            33,
            merge_key="topologyKey",
            list_type="map",
            list_map_keys=(
                "topologyKey",
                "whenUnsatisfiable",
            ),
        ),
    ] = []
    set_hostname_as_fqdn: Annotated[bool | None, proto(35)] = None
    os: Annotated[PodOS | None, proto(36)] = None
    host_users: Annotated[bool | None, proto(37)] = None
    scheduling_gates: Annotated[
        list[PodSchedulingGate], proto(38, merge_key="name", list_type="map", list_map_keys=("name",))
    ] = []
    resource_claims: Annotated[
        list[PodResourceClaim], proto(39, merge_key="name", retain_keys=True, list_type="map", list_map_keys=("name",))
    ] = []
    resources: Annotated[ResourceRequirements | None, proto(40)] = None
    hostname_override: Annotated[str | None, proto(41)] = None
    scheduling_group: Annotated[PodSchedulingGroup | None, proto(43, gate="GenericWorkload")] = None


class PodTemplateSpec(Struct):
    """The pods that a workload makes."""

    metadata: Annotated[ObjectMeta, proto(1)] = field(default_factory=ObjectMeta)
    spec: Annotated[PodSpec, proto(2)] = field(default_factory=PodSpec)
