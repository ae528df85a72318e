"""CRI messages that sandboxes and containers share. Field numbers are facts of `runtime.v1`.

Source: staging/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto.
"""

from typing import Annotated

from tiphys.api.meta.schema import Struct, proto


class Int64Value(Struct):
    value: Annotated[int, proto(1)] = 0


class UInt64Value(Struct):
    value: Annotated[int, proto(1)] = 0


class KeyValue(Struct):
    key: Annotated[str, proto(1)] = ""
    value: Annotated[bytes, proto(2)] = b""


class DNSConfig(Struct):
    servers: Annotated[list[str], proto(1)] = []
    searches: Annotated[list[str], proto(2)] = []
    options: Annotated[list[str], proto(3)] = []


class PortMapping(Struct):
    protocol: Annotated[int, proto(1)] = 0
    """0 TCP, 1 UDP, 2 SCTP"""
    container_port: Annotated[int, proto(2)] = 0
    host_port: Annotated[int, proto(3)] = 0
    host_ip: Annotated[str, proto(4)] = ""


class IDMapping(Struct):
    host_id: Annotated[int, proto(1)] = 0
    container_id: Annotated[int, proto(2)] = 0
    length: Annotated[int, proto(3)] = 0


class ImageSpec(Struct):
    image: Annotated[str, proto(1)] = ""
    annotations: Annotated[dict[str, str], proto(2)] = {}
    user_specified_image: Annotated[str, proto(18)] = ""
    runtime_handler: Annotated[str, proto(19)] = ""
    image_ref: Annotated[str, proto(20)] = ""


class Mount(Struct):
    container_path: Annotated[str, proto(1)] = ""
    host_path: Annotated[str, proto(2)] = ""
    readonly: Annotated[bool, proto(3)] = False
    selinux_relabel: Annotated[bool, proto(4)] = False
    propagation: Annotated[int, proto(5)] = 0
    """0 PROPAGATION_PRIVATE, 1 PROPAGATION_HOST_TO_CONTAINER, 2 PROPAGATION_BIDIRECTIONAL"""
    uid_mappings: Annotated[list[IDMapping], proto(6)] = []
    gid_mappings: Annotated[list[IDMapping], proto(7)] = []
    recursive_read_only: Annotated[bool, proto(8)] = False
    image: Annotated[ImageSpec | None, proto(9)] = None
    image_sub_path: Annotated[str, proto(10)] = ""


class UserNamespace(Struct):
    mode: Annotated[int, proto(1)] = 0
    """0 POD, 1 CONTAINER, 2 NODE, 3 TARGET"""
    uids: Annotated[list[IDMapping], proto(2)] = []
    gids: Annotated[list[IDMapping], proto(3)] = []


class NamespaceOption(Struct):
    network: Annotated[int, proto(1)] = 0
    """0 POD, 1 CONTAINER, 2 NODE, 3 TARGET"""
    pid: Annotated[int, proto(2)] = 0
    """0 POD, 1 CONTAINER, 2 NODE, 3 TARGET"""
    ipc: Annotated[int, proto(3)] = 0
    """0 POD, 1 CONTAINER, 2 NODE, 3 TARGET"""
    target_id: Annotated[str, proto(4)] = ""
    userns_options: Annotated[UserNamespace | None, proto(5)] = None


class Capability(Struct):
    add_capabilities: Annotated[list[str], proto(1)] = []
    drop_capabilities: Annotated[list[str], proto(2)] = []
    add_ambient_capabilities: Annotated[list[str], proto(3)] = []


class SELinuxOption(Struct):
    user: Annotated[str, proto(1)] = ""
    role: Annotated[str, proto(2)] = ""
    type: Annotated[str, proto(3)] = ""
    level: Annotated[str, proto(4)] = ""


class SecurityProfile(Struct):
    profile_type: Annotated[int, proto(1)] = 0
    """0 RuntimeDefault, 1 Unconfined, 2 Localhost"""
    localhost_ref: Annotated[str, proto(2)] = ""


class LinuxContainerSecurityContext(Struct):
    capabilities: Annotated[Capability | None, proto(1)] = None
    privileged: Annotated[bool, proto(2)] = False
    namespace_options: Annotated[NamespaceOption | None, proto(3)] = None
    selinux_options: Annotated[SELinuxOption | None, proto(4)] = None
    run_as_user: Annotated[Int64Value | None, proto(5)] = None
    run_as_group: Annotated[Int64Value | None, proto(12)] = None
    run_as_username: Annotated[str, proto(6)] = ""
    readonly_rootfs: Annotated[bool, proto(7)] = False
    supplemental_groups: Annotated[list[int], proto(8)] = []
    supplemental_groups_policy: Annotated[int, proto(17)] = 0
    """0 Merge, 1 Strict"""
    no_new_privs: Annotated[bool, proto(11)] = False
    masked_paths: Annotated[list[str], proto(13)] = []
    readonly_paths: Annotated[list[str], proto(14)] = []
    seccomp: Annotated[SecurityProfile | None, proto(15)] = None
    apparmor: Annotated[SecurityProfile | None, proto(16)] = None
    apparmor_profile: Annotated[str, proto(9)] = ""
    seccomp_profile_path: Annotated[str, proto(10)] = ""


class LinuxSandboxSecurityContext(Struct):
    namespace_options: Annotated[NamespaceOption | None, proto(1)] = None
    selinux_options: Annotated[SELinuxOption | None, proto(2)] = None
    run_as_user: Annotated[Int64Value | None, proto(3)] = None
    run_as_group: Annotated[Int64Value | None, proto(8)] = None
    readonly_rootfs: Annotated[bool, proto(4)] = False
    supplemental_groups: Annotated[list[int], proto(5)] = []
    supplemental_groups_policy: Annotated[int, proto(11)] = 0
    """0 Merge, 1 Strict"""
    privileged: Annotated[bool, proto(6)] = False
    seccomp: Annotated[SecurityProfile | None, proto(9)] = None
    apparmor: Annotated[SecurityProfile | None, proto(10)] = None
    seccomp_profile_path: Annotated[str, proto(7)] = ""


class HugepageLimit(Struct):
    page_size: Annotated[str, proto(1)] = ""
    limit: Annotated[int, proto(2)] = 0


class LinuxContainerResources(Struct):
    cpu_period: Annotated[int, proto(1)] = 0
    cpu_quota: Annotated[int, proto(2)] = 0
    cpu_shares: Annotated[int, proto(3)] = 0
    memory_limit_in_bytes: Annotated[int, proto(4)] = 0
    oom_score_adj: Annotated[int, proto(5)] = 0
    cpuset_cpus: Annotated[str, proto(6)] = ""
    cpuset_mems: Annotated[str, proto(7)] = ""
    hugepage_limits: Annotated[list[HugepageLimit], proto(8)] = []
    unified: Annotated[dict[str, str], proto(9)] = {}
    memory_swap_limit_in_bytes: Annotated[int, proto(10)] = 0


class PodSandboxMetadata(Struct):
    name: Annotated[str, proto(1)] = ""
    uid: Annotated[str, proto(2)] = ""
    namespace: Annotated[str, proto(3)] = ""
    attempt: Annotated[int, proto(4)] = 0


class LinuxPodSandboxConfig(Struct):
    cgroup_parent: Annotated[str, proto(1)] = ""
    security_context: Annotated[LinuxSandboxSecurityContext | None, proto(2)] = None
    sysctls: Annotated[dict[str, str], proto(3)] = {}
    overhead: Annotated[LinuxContainerResources | None, proto(4)] = None
    resources: Annotated[LinuxContainerResources | None, proto(5)] = None


class PodSandboxConfig(Struct):
    metadata: Annotated[PodSandboxMetadata | None, proto(1)] = None
    hostname: Annotated[str, proto(2)] = ""
    log_directory: Annotated[str, proto(3)] = ""
    dns_config: Annotated[DNSConfig | None, proto(4)] = None
    port_mappings: Annotated[list[PortMapping], proto(5)] = []
    labels: Annotated[dict[str, str], proto(6)] = {}
    annotations: Annotated[dict[str, str], proto(7)] = {}
    linux: Annotated[LinuxPodSandboxConfig | None, proto(8)] = None
