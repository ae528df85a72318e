"""Containers and all that is said of one. Source: staging/src/k8s.io/api/core/v1/types.go."""

from typing import Annotated

from tiphys.api.kinds.core.references import (
    ConfigMapKeySelector,
    FileKeySelector,
    ObjectFieldSelector,
    ResourceFieldSelector,
    SecretKeySelector,
)
from tiphys.api.meta.schema import Int32, IntOrString, Quantity, Struct, field, proto


class ContainerPort(Struct):
    """A port that a container listens on."""

    name: Annotated[str, proto(1)] = ""
    host_port: Annotated[Int32, proto(2)] = 0
    container_port: Annotated[Int32, proto(3, required=True)] = field(default_factory=int)
    protocol: Annotated[str, proto(4)] = ""
    host_ip: Annotated[str, proto(5)] = ""


class EnvVarSource(Struct):
    """Where the value of a variable comes from."""

    field_ref: Annotated[ObjectFieldSelector | None, proto(1, atomic=True)] = None
    resource_field_ref: Annotated[ResourceFieldSelector | None, proto(2, atomic=True)] = None
    config_map_key_ref: Annotated[ConfigMapKeySelector | None, proto(3, atomic=True)] = None
    secret_key_ref: Annotated[SecretKeySelector | None, proto(4, atomic=True)] = None
    file_key_ref: Annotated[FileKeySelector | None, proto(5, atomic=True)] = None


class EnvVar(Struct):
    """A variable of a container's environment."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    value: Annotated[str, proto(2)] = ""
    value_from: Annotated[EnvVarSource | None, proto(3)] = None


class ConfigMapEnvSource(Struct):
    """All keys of a ConfigMap as variables."""

    name: Annotated[str, proto(1, 1)] = ""
    optional: Annotated[bool | None, proto(2)] = None


class SecretEnvSource(Struct):
    """All keys of a Secret as variables."""

    name: Annotated[str, proto(1, 1)] = ""
    optional: Annotated[bool | None, proto(2)] = None


class EnvFromSource(Struct):
    """Many variables from one object."""

    prefix: Annotated[str, proto(1)] = ""
    config_map_ref: Annotated[ConfigMapEnvSource | None, proto(2)] = None
    secret_ref: Annotated[SecretEnvSource | None, proto(3)] = None


class ResourceClaim(Struct):
    """A claim of the pod that a container uses."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    request: Annotated[str, proto(2)] = ""


class ResourceRequirements(Struct):
    """What is reserved, and what may be used at most."""

    limits: Annotated[dict[str, Quantity], proto(1)] = {}
    requests: Annotated[dict[str, Quantity], proto(2)] = {}
    claims: Annotated[list[ResourceClaim], proto(3, list_type="map", list_map_keys=("name",))] = []


class ContainerResizePolicy(Struct):
    """Whether a container restarts when a resource is resized."""

    resource_name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    restart_policy: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class ContainerRestartRuleOnExitCodes(Struct):
    """The exit codes that a restart rule is for."""

    operator: Annotated[str, proto(1, required=True)] = ""
    values: Annotated[list[Int32], proto(2, list_type="set")] = []


class ContainerRestartRule(Struct):
    """What to do when a container ends with certain codes."""

    action: Annotated[str, proto(1, required=True)] = ""
    exit_codes: Annotated[ContainerRestartRuleOnExitCodes | None, proto(2)] = None


class VolumeMount(Struct):
    """Where a container sees a volume."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    read_only: Annotated[bool, proto(2)] = False
    recursive_read_only: Annotated[str | None, proto(7)] = None
    mount_path: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    sub_path: Annotated[str, proto(4)] = ""
    mount_propagation: Annotated[str | None, proto(5)] = None
    sub_path_expr: Annotated[str, proto(6)] = ""


class VolumeDevice(Struct):
    """Where a container sees a block device."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    device_path: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class ExecAction(Struct):
    """Run a command in the container."""

    command: Annotated[list[str], proto(1, list_type="atomic")] = []


class HTTPHeader(Struct):
    """A header of a probe's request."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    value: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class HTTPGetAction(Struct):
    """Ask a URL of the pod."""

    path: Annotated[str, proto(1)] = ""
    port: Annotated[IntOrString, proto(2, required=True)] = field(default_factory=int)
    host: Annotated[str, proto(3)] = ""
    scheme: Annotated[str, proto(4)] = ""
    http_headers: Annotated[list[HTTPHeader], proto(5, list_type="atomic")] = []


class TCPSocketAction(Struct):
    """Open a connection to a port."""

    port: Annotated[IntOrString, proto(1, required=True)] = field(default_factory=int)
    host: Annotated[str, proto(2)] = ""


class GRPCAction(Struct):
    """Ask the gRPC health service."""

    port: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)
    service: Annotated[str | None, proto(2)] = None


class SleepAction(Struct):
    """Wait."""

    seconds: Annotated[int, proto(1, required=True)] = field(default_factory=int)


class Probe(Struct):
    """How and how often to ask whether a container is well."""

    exec: Annotated[ExecAction | None, proto(1, 1)] = None
    http_get: Annotated[HTTPGetAction | None, proto(1, 2)] = None
    tcp_socket: Annotated[TCPSocketAction | None, proto(1, 3)] = None
    grpc: Annotated[GRPCAction | None, proto(1, 4)] = None
    initial_delay_seconds: Annotated[Int32, proto(2)] = 0
    timeout_seconds: Annotated[Int32, proto(3)] = 0
    period_seconds: Annotated[Int32, proto(4)] = 0
    success_threshold: Annotated[Int32, proto(5)] = 0
    failure_threshold: Annotated[Int32, proto(6)] = 0
    termination_grace_period_seconds: Annotated[int | None, proto(7)] = None


class LifecycleHandler(Struct):
    """What to do at a turn of a container's life."""

    exec: Annotated[ExecAction | None, proto(1)] = None
    http_get: Annotated[HTTPGetAction | None, proto(2)] = None
    tcp_socket: Annotated[TCPSocketAction | None, proto(3)] = None
    sleep: Annotated[SleepAction | None, proto(4)] = None


class Lifecycle(Struct):
    """What to do after a container starts and before it is stopped."""

    post_start: Annotated[LifecycleHandler | None, proto(1)] = None
    pre_stop: Annotated[LifecycleHandler | None, proto(2)] = None
    stop_signal: Annotated[str | None, proto(3, gate="ContainerStopSignals")] = None


class Capabilities(Struct):
    """Linux capabilities to add and to drop."""

    add: Annotated[list[str], proto(1, list_type="atomic")] = []
    drop: Annotated[list[str], proto(2, list_type="atomic")] = []


class SELinuxOptions(Struct):
    """The SELinux label of a process."""

    user: Annotated[str, proto(1)] = ""
    role: Annotated[str, proto(2)] = ""
    type: Annotated[str, proto(3)] = ""
    level: Annotated[str, proto(4)] = ""


class WindowsSecurityContextOptions(Struct):
    """Security settings of Windows."""

    gmsa_credential_spec_name: Annotated[str | None, proto(1)] = None
    gmsa_credential_spec: Annotated[str | None, proto(2)] = None
    run_as_user_name: Annotated[str | None, proto(3)] = None
    host_process: Annotated[bool | None, proto(4)] = None


class SeccompProfile(Struct):
    """Which system calls are allowed."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    localhost_profile: Annotated[str | None, proto(2)] = None


class AppArmorProfile(Struct):
    """Which AppArmor profile confines the container."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    localhost_profile: Annotated[str | None, proto(2)] = None


class SecurityContext(Struct):
    """As whom a container runs and what it may do; wins over the pod's."""

    capabilities: Annotated[Capabilities | None, proto(1)] = None
    privileged: Annotated[bool | None, proto(2)] = None
    se_linux_options: Annotated[SELinuxOptions | None, proto(3)] = None
    windows_options: Annotated[WindowsSecurityContextOptions | None, proto(10)] = None
    run_as_user: Annotated[int | None, proto(4)] = None
    run_as_group: Annotated[int | None, proto(8)] = None
    run_as_non_root: Annotated[bool | None, proto(5)] = None
    read_only_root_filesystem: Annotated[bool | None, proto(6)] = None
    allow_privilege_escalation: Annotated[bool | None, proto(7)] = None
    proc_mount: Annotated[str | None, proto(9)] = None
    seccomp_profile: Annotated[SeccompProfile | None, proto(11)] = None
    app_armor_profile: Annotated[AppArmorProfile | None, proto(12)] = None


class Container(Struct):
    """A program to be run from an image."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    image: Annotated[str, proto(2)] = ""
    command: Annotated[list[str], proto(3, list_type="atomic")] = []
    args: Annotated[list[str], proto(4, list_type="atomic")] = []
    working_dir: Annotated[str, proto(5)] = ""
    ports: Annotated[
        list[ContainerPort],
        proto(
            6,
            merge_key="containerPort",
            list_type="map",
            list_map_keys=(
                "containerPort",
                "protocol",
            ),
        ),
    ] = []
    env_from: Annotated[list[EnvFromSource], proto(19, list_type="atomic")] = []
    env: Annotated[list[EnvVar], proto(7, merge_key="name", list_type="map", list_map_keys=("name",))] = []
    resources: Annotated[ResourceRequirements, proto(8)] = field(default_factory=ResourceRequirements)
    resize_policy: Annotated[list[ContainerResizePolicy], proto(23, list_type="atomic")] = []
    restart_policy: Annotated[str | None, proto(24)] = None
    restart_policy_rules: Annotated[list[ContainerRestartRule], proto(25, list_type="atomic")] = []
    volume_mounts: Annotated[
        list[VolumeMount], proto(9, merge_key="mountPath", list_type="map", list_map_keys=("mountPath",))
    ] = []
    volume_devices: Annotated[
        list[VolumeDevice], proto(21, merge_key="devicePath", list_type="map", list_map_keys=("devicePath",))
    ] = []
    liveness_probe: Annotated[Probe | None, proto(10)] = None
    readiness_probe: Annotated[Probe | None, proto(11)] = None
    startup_probe: Annotated[Probe | None, proto(22)] = None
    lifecycle: Annotated[Lifecycle | None, proto(12)] = None
    termination_message_path: Annotated[str, proto(13)] = ""
    termination_message_policy: Annotated[str, proto(20)] = ""
    image_pull_policy: Annotated[str, proto(14)] = ""
    security_context: Annotated[SecurityContext | None, proto(15)] = None
    stdin: Annotated[bool, proto(16)] = False
    stdin_once: Annotated[bool, proto(17)] = False
    tty: Annotated[bool, proto(18)] = False


class EphemeralContainer(Struct):
    """A container put into a running pod, to look at it."""

    name: Annotated[str, proto(1, 1, required=True)] = field(default_factory=str)
    image: Annotated[str, proto(1, 2)] = ""
    command: Annotated[list[str], proto(1, 3, list_type="atomic")] = []
    args: Annotated[list[str], proto(1, 4, list_type="atomic")] = []
    working_dir: Annotated[str, proto(1, 5)] = ""
    ports: Annotated[
        list[ContainerPort],
        proto(
            1,
            6,
            merge_key="containerPort",
            list_type="map",
            list_map_keys=(
                "containerPort",
                "protocol",
            ),
        ),
    ] = []
    env_from: Annotated[list[EnvFromSource], proto(1, 19, list_type="atomic")] = []
    env: Annotated[list[EnvVar], proto(1, 7, merge_key="name", list_type="map", list_map_keys=("name",))] = []
    resources: Annotated[ResourceRequirements, proto(1, 8)] = field(default_factory=ResourceRequirements)
    resize_policy: Annotated[list[ContainerResizePolicy], proto(1, 23, list_type="atomic")] = []
    restart_policy: Annotated[str | None, proto(1, 24)] = None
    restart_policy_rules: Annotated[list[ContainerRestartRule], proto(1, 25, list_type="atomic")] = []
    volume_mounts: Annotated[
        list[VolumeMount], proto(1, 9, merge_key="mountPath", list_type="map", list_map_keys=("mountPath",))
    ] = []
    volume_devices: Annotated[
        list[VolumeDevice], proto(1, 21, merge_key="devicePath", list_type="map", list_map_keys=("devicePath",))
    ] = []
    liveness_probe: Annotated[Probe | None, proto(1, 10)] = None
    readiness_probe: Annotated[Probe | None, proto(1, 11)] = None
    startup_probe: Annotated[Probe | None, proto(1, 22)] = None
    lifecycle: Annotated[Lifecycle | None, proto(1, 12)] = None
    termination_message_path: Annotated[str, proto(1, 13)] = ""
    termination_message_policy: Annotated[str, proto(1, 20)] = ""
    image_pull_policy: Annotated[str, proto(1, 14)] = ""
    security_context: Annotated[SecurityContext | None, proto(1, 15)] = None
    stdin: Annotated[bool, proto(1, 16)] = False
    stdin_once: Annotated[bool, proto(1, 17)] = False
    tty: Annotated[bool, proto(1, 18)] = False
    target_container_name: Annotated[str, proto(2)] = ""
