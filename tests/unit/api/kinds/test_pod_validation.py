"""The mistakes that people make in pods, and what they are told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tiphys.api import codec
from tiphys.api.kinds import BINDING, POD
from tiphys.api.kinds.core.pod.schema import Binding, Pod
from tiphys.api.kinds.core.pod.strategy import prepare_ephemeral_containers, prepare_resize
from tiphys.api.kinds.core.pod.validation import validate_ephemeral_containers, validate_resize
from tiphys.api.meta.schema import copy_of

LABEL_1123 = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def pod(spec: dict[str, object] | None = None, **container: object) -> Pod:
    """A defaulted pod of one container, with extra fields for the spec and for the container."""
    body = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "nginx"} | container], **(spec or {})},
    }
    made: Pod = codec.from_json(Pod, body)
    POD.prepare(made, None)
    POD.default(made)
    return made


def errors(new: Pod, old: Pod | None = None) -> list[str]:
    return [str(error) for error in POD.validate(new, old)]


def test_a_plain_pod_is_fine() -> None:
    assert errors(pod()) == []


CREATE = [
    (pod({"containers": []}), "spec.containers: Required value"),
    (pod(image=""), "spec.containers[0].image: Required value"),
    (
        pod(image=" nginx"),
        'spec.containers[0].image: Invalid value: " nginx": must not have leading or trailing whitespace',
    ),
    (pod(name=""), "spec.containers[0].name: Required value"),
    (pod(name="A"), f'spec.containers[0].name: Invalid value: "A": {LABEL_1123}'),
    (pod(name="a.b"), 'spec.containers[0].name: Invalid value: "a.b": must not contain dots'),
    (
        pod({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]}),
        'spec.containers[1].name: Duplicate value: "c"',
    ),
    (
        pod(imagePullPolicy="Sometimes"),
        'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: '
        '"Always", "IfNotPresent", "Never"',
    ),
    (
        pod({"restartPolicy": "Maybe"}),
        'spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"',
    ),
    (
        pod(ports=[{"containerPort": 70000}]),
        "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
    ),
    (
        pod(ports=[{"containerPort": 1, "hostPort": 80}, {"containerPort": 2, "hostPort": 80}]),
        'spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//80"',
    ),
    (
        pod(ports=[{"containerPort": 80, "protocol": "ICMP"}]),
        'spec.containers[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
    ),
    (
        pod(volumeMounts=[{"name": "data", "mountPath": "/data"}]),
        'spec.containers[0].volumeMounts[0].name: Not found: "data"',
    ),
    (
        pod({"volumes": [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]}),
        "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type",
    ),
    (pod({"volumes": [{"name": "v", "configMap": {}}]}), "spec.volumes[0].configMap.name: Required value"),
    (
        pod({"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]}),
        "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
    ),
    (
        pod(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
        'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    ),
    (
        pod(resources={"limits": {"memory": "-1Gi"}}),
        'spec.containers[0].resources.limits[memory]: Invalid value: "-1Gi": must be greater than or equal to 0',
    ),
    (
        pod(resources={"limits": {"gpus": "1"}}),
        'spec.containers[0].resources.limits[gpus]: Invalid value: "gpus": must be a standard resource for containers',
    ),
    (
        pod(resources={"requests": {"example.com/gpu": "1"}}),
        "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
    ),
    (
        pod(env=[{"name": "A=B", "value": "1"}]),
        'spec.containers[0].env[0].name: Invalid value: "A=B": a valid environment variable name must consist only of '
        "printable ASCII characters other than '='",
    ),
    (
        pod(env=[{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
        'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
    ),
    (
        pod(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.image"}}}]),
        'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.image": error converting '
        "fieldPath: field label not supported: spec.image",
    ),
    (pod(livenessProbe={}), "spec.containers[0].livenessProbe: Required value: must specify a handler type"),
    (
        pod(livenessProbe={"tcpSocket": {"port": 80}, "successThreshold": 2}),
        "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
    ),
    (
        pod(readinessProbe={"httpGet": {"port": "WEB"}}),
        'spec.containers[0].readinessProbe.httpGet.port: Invalid value: "WEB": must contain only alpha-numeric '
        "characters (a-z, 0-9), and hyphens (-)",
    ),
    (
        pod({"tolerations": [{"operator": "Equal", "value": "x"}]}),
        'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which '
        'means "match all values and all keys"',
    ),
    (
        pod({"initContainers": [{"name": "i", "image": "i", "readinessProbe": {"exec": {"command": ["x"]}}}]}),
        "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without "
        "restartPolicy=Always",
    ),
    (
        pod({"ephemeralContainers": [{"name": "d", "image": "i"}]}),
        "spec.ephemeralContainers: Forbidden: cannot be set on create",
    ),
    (
        pod({"dnsPolicy": "None"}),
        "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
    ),
    (
        pod({"activeDeadlineSeconds": 0}),
        "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
    ),
    (
        pod(
            {"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}
        ),
        "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
    ),
    (
        pod(securityContext={"privileged": True, "allowPrivilegeEscalation": False}),
        'spec.containers[0].securityContext: Invalid value: {"privileged":true,"allowPrivilegeEscalation":false}: '
        "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
    ),
]


@pytest.mark.parametrize(("wrong", "message"), CREATE, ids=[message[:60] for _, message in CREATE])
def test_create(wrong: Pod, message: str) -> None:
    assert message in errors(wrong)


def _set(change: Callable[[Pod], object]) -> Pod:
    changed = pod()
    change(changed)
    return changed


def _image(changed: Pod) -> None:
    changed.spec.containers[0].image = "nginx:2"


def test_the_image_may_change() -> None:
    assert errors(_set(_image), pod()) == []


def test_a_toleration_may_come_but_not_go() -> None:
    more = pod({"tolerations": [{"key": "a", "operator": "Exists"}]})
    assert errors(more, pod()) == []
    assert errors(pod(), more) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    ]


def test_little_else_may_change() -> None:
    changed = pod()
    changed.spec.node_name = "n"
    (message,) = errors(changed, pod())
    assert message.startswith(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
        "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
    )
    assert '+  "nodeName": "n"' in message


def test_containers_stay() -> None:
    two = pod({"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]})
    assert errors(two, pod()) == ["spec.containers: Forbidden: pod updates may not add or remove containers"]


def test_a_deadline_only_shortens() -> None:
    short, long = pod({"activeDeadlineSeconds": 5}), pod({"activeDeadlineSeconds": 50})
    assert errors(short, long) == []
    at = "spec.activeDeadlineSeconds: Invalid value"
    assert errors(long, short) == [f"{at}: 50: must be less than or equal to previous value"]
    assert f"{at}: null: must not update from a positive integer to nil value" in errors(pod(), short)


def test_a_gated_pod_may_be_narrowed_and_then_freed() -> None:
    gated = pod({"schedulingGates": [{"name": "wait"}]})
    narrowed = pod({"schedulingGates": [{"name": "wait"}], "nodeSelector": {"disk": "ssd"}})
    assert errors(narrowed, gated) == []
    assert errors(pod(), gated) == []
    assert errors(gated, pod()) == [
        "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'wait'"
    ]


def test_a_container_that_ended_for_good_stays_ended() -> None:
    old = pod({"restartPolicy": "Never"})
    ended = {"name": "c", "state": {"terminated": {"exitCode": 1}}, "ready": False, "restartCount": 0}
    old.status = codec.from_json(type(old.status), {"qosClass": "BestEffort", "containerStatuses": [ended]})
    new = copy_of(old)
    new.status.container_statuses[0].state.terminated = None
    assert [str(error) for error in POD.validate_status(new, old)] == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    ]


def test_ephemeral_containers_are_only_added() -> None:
    old = pod()
    new = pod({"ephemeralContainers": [{"name": "debug", "image": "busybox"}]})
    new.spec.node_name = "elsewhere"
    prepare_ephemeral_containers(new, old)
    assert new.spec.node_name == ""
    assert list(validate_ephemeral_containers(new, old)) == []
    (error,) = validate_ephemeral_containers(old, new)
    assert error.message == 'Forbidden: existing ephemeral containers "debug" may not be removed\n'


def test_resize_keeps_the_class_of_service() -> None:
    old = pod(resources={"requests": {"cpu": "1"}})
    new = pod(resources={"requests": {"cpu": "2"}}, image="other")
    prepare_resize(new, old)
    assert new.spec.containers[0].image == "nginx"
    assert list(validate_resize(new, old)) == []
    guaranteed = pod(resources={"limits": {"cpu": "1", "memory": "1Gi"}})
    assert "Pod QOS Class may not change as a result of resizing" in next(validate_resize(guaranteed, old)).message


def test_resize_of_the_pod_as_a_whole() -> None:
    old = pod({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}})
    new = pod({"resources": {"limits": {"cpu": "2", "memory": "1Gi"}}})
    prepare_resize(new, old)
    assert list(validate_resize(new, old)) == []
    assert new.spec.resources is not None
    assert new.spec.resources.requests == {"cpu": "2", "memory": "1Gi"}
    smaller = pod({"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}})
    told = [error.message for error in validate_resize(smaller, old)]
    assert "Forbidden: pod-level resource limits cannot be removed" in told
    gone = "Forbidden: pod-level resources cannot be removed"
    assert gone in [error.message for error in validate_resize(pod(), old)]
    paged = pod({"resources": {"limits": {"cpu": "1", "memory": "1Gi", "hugepages-2Mi": "2Mi"}}})
    told = [error.message for error in validate_resize(paged, old)]
    assert "Forbidden: only cpu and memory resources are mutable at pod-level" in told


def test_a_negative_grace_period_is_one_second() -> None:
    made = pod({"terminationGracePeriodSeconds": -1})
    assert made.spec.termination_grace_period_seconds == 1 and errors(made) == []


def test_binding_needs_a_node() -> None:
    messages = [str(error) for error in BINDING.validate(codec.from_json(Binding, {"target": {"kind": "Pod"}}), None)]
    assert messages == [
        'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"',
        "target.name: Required value",
    ]


def test_what_is_known_of_one_token_volume_holds_for_another_of_its_kind_only() -> None:
    def with_token(volume: str, mount: str) -> Pod:
        return pod(
            {"volumes": [{"name": volume, "emptyDir": {}}]}, volumeMounts=[{"name": mount, "mountPath": "/var/run"}]
        )

    assert errors(with_token("kube-api-access-abcde", "kube-api-access-abcde")) == []
    assert errors(with_token("kube-api-access-fghij", "kube-api-access-fghij")) == []
    assert errors(with_token("kube-api-access-fghij", "kube-api-access-abcde")) == [
        'spec.containers[0].volumeMounts[0].name: Not found: "kube-api-access-abcde"'
    ]
    assert errors(with_token("kube-api-access-A", "kube-api-access-A"))
    for _ in range(2):
        assert errors(pod(name="A"))  # what is wrong is wrong again


@pytest.mark.parametrize(
    ("claims", "errors"),
    [
        ([{"name": "a", "resourceClaimName": "c"}], []),
        (
            [{"name": "a"}],
            [
                'spec.resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":null,'
                '"ResourceClaimTemplateName":null}: must specify one of: `resourceClaimName`, '
                "`resourceClaimTemplateName`"
            ],
        ),
        (
            [{"name": "a", "resourceClaimName": "c"}, {"name": "a", "resourceClaimTemplateName": "t"}],
            ['spec.resourceClaims[1].name: Duplicate value: "a"'],
        ),
        ([{"name": "", "resourceClaimName": "c"}], ["spec.resourceClaims[0].name: Required value"]),
    ],
)
def test_claims_for_devices(claims: list[dict[str, str]], errors: list[str]) -> None:
    spec = {"containers": [{"name": "c", "image": "i"}], "resourceClaims": claims}
    pod = codec.from_json(POD.schema, {"kind": "Pod", "metadata": {"name": "p", "namespace": "d"}, "spec": spec})
    POD.default(pod)
    assert [str(error) for error in POD.validate(pod, None)] == errors


def test_statuses_are_of_claims_that_the_pod_has() -> None:
    claims = [{"name": "a", "resourceClaimTemplateName": "t"}]
    spec = {"containers": [{"name": "c", "image": "i"}], "resourceClaims": claims}
    old = codec.from_json(POD.schema, {"kind": "Pod", "metadata": {"name": "p", "namespace": "d"}, "spec": spec})
    POD.default(old)
    status = {"resourceClaimStatuses": [{"name": "a", "resourceClaimName": "p-a-x"}, {"name": "b"}]}
    new = codec.from_json(POD.schema, {**codec.to_json(old), "status": {**codec.to_json(old.status), **status}})
    (error,) = POD.validate_status(new, old)
    assert str(error) == (
        'status.resourceClaimStatuses[1].name: Invalid value: "b": must match the name of an entry in '
        "`spec.resourceClaims`"
    )
