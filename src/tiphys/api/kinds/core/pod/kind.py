"""Pod as a resource: the value that ties schema, defaults, validation, strategy and columns together."""

from tiphys.api.kind import Kind, Subresource
from tiphys.api.kinds.core.pod.columns import COLUMNS
from tiphys.api.kinds.core.pod.defaults import default_pod
from tiphys.api.kinds.core.pod.facts import family
from tiphys.api.kinds.core.pod.schema import Binding, Pod
from tiphys.api.kinds.core.pod.strategy import prepare, prepare_status
from tiphys.api.kinds.core.pod.validation import validate_binding, validate_pod
from tiphys.api.kinds.core.pod.validation_update import validate_status

POD = Kind(
    group="",
    version="v1",
    kind="Pod",
    plural="pods",
    schema=Pod,
    short_names=("po",),
    categories=("all",),
    generation=True,
    graceful_delete=True,
    family=family,
    default=default_pod,
    prepare=prepare,
    prepare_status=prepare_status,
    validate=validate_pod,
    validate_status=validate_status,
    fields={
        "spec.nodeName": lambda pod: pod.spec.node_name,
        "spec.restartPolicy": lambda pod: pod.spec.restart_policy,
        "spec.schedulerName": lambda pod: pod.spec.scheduler_name,
        "spec.serviceAccountName": lambda pod: pod.spec.service_account_name,
        "spec.hostNetwork": lambda pod: "true" if pod.spec.host_network else "false",
        "status.phase": lambda pod: pod.status.phase,
        "status.podIP": lambda pod: pod.status.pod_ip,
        "status.podIPs": lambda pod: ",".join(address.ip for address in pod.status.pod_ips),
        "status.nominatedNodeName": lambda pod: pod.status.nominated_node_name,
    },
    indexed_field="spec.nodeName",
    columns=COLUMNS,
    subresources=(
        Subresource("attach", ("create", "get"), "PodAttachOptions"),
        Subresource("binding", ("create",), "Binding"),
        Subresource("ephemeralcontainers", ("get", "patch", "update")),
        Subresource("eviction", ("create",), "Eviction", "policy", "v1"),
        Subresource("exec", ("create", "get"), "PodExecOptions"),
        Subresource("log", ("get",)),
        Subresource("portforward", ("create", "get"), "PodPortForwardOptions"),
        Subresource("proxy", ("create", "delete", "get", "patch", "update"), "PodProxyOptions"),
        Subresource("resize", ("get", "patch", "update")),
        Subresource("status", ("get", "patch", "update")),
    ),
)

BINDING = Kind(
    group="",
    version="v1",
    kind="Binding",
    plural="bindings",
    schema=Binding,
    verbs=("create",),
    validate=validate_binding,
)
