"""Pod Security Standards: each check's words, the versions, policies in labels, and what the plugin does with them."""

from __future__ import annotations

from typing import Any

import pytest
from front_fakes import FakeCaches

from tiphys.api import codec
from tiphys.api.errors import Forbidden, Invalid
from tiphys.api.kind import new
from tiphys.api.kinds import DEPLOYMENT, NAMESPACE, POD
from tiphys.apiserver.admission.pod_security.plugin import PodSecurity
from tiphys.apiserver.admission.pod_security.policy import LevelVersion, Policy, Settings, policy_of, violations
from tiphys.apiserver.registry.interface import AdmissionRequest
from tiphys.apiserver.request import User

PREFIX = "pod-security.kubernetes.io/"
SAFE: dict[str, Any] = {
    "allowPrivilegeEscalation": False, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip


def pod(container: dict[str, Any] | None = None, meta: dict[str, Any] | None = None, **spec: Any) -> Any:
    first = {"name": "c", "image": "i", "securityContext": SAFE, **(container or {})}
    value = {"metadata": {"name": "p", **(meta or {})}, "spec": {"containers": [first], **spec}}
    return codec.from_json(POD.schema, value)


def words(level: str, minor: int, obj: Any) -> list[str]:
    return [str(found) for found in violations(LevelVersion(level, minor), obj.metadata, obj.spec)]


def within(**context: Any) -> dict[str, Any]:
    return {"securityContext": {**SAFE, **context}}


BASELINE = [
    (pod(hostNetwork=True, hostPID=True), "host namespaces (hostNetwork=true, hostPID=true)"),
    (pod(within(privileged=True)), 'privileged (container "c" must not set securityContext.privileged=true)'),
    (pod(within(capabilities={"add": ["NET_RAW", "CHOWN"], "drop": ["ALL"]})),
     'non-default capabilities (container "c" must not include "NET_RAW" in securityContext.capabilities.add)'),
    (pod(volumes=[{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "hostPath": {"path": "/"}}]),
     'hostPath volumes (volumes "a", "b")'),
    (pod({"ports": [{"containerPort": 1, "hostPort": 8080}, {"containerPort": 2, "hostPort": 9090}]}),
     'hostPort (container "c" uses hostPorts 8080, 9090)'),
    (pod({"livenessProbe": {"httpGet": {"port": 1, "host": "h"}}}),
     'probe or lifecycle host (container "c" uses probe or lifecycle host "h")'),
    (pod(within(procMount="Unmasked")),
     'procMount (container "c" must not set securityContext.procMount to "Unmasked")'),
    (pod(within(seLinuxOptions={"type": "x", "user": "u"})),
     'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "x"; user may not be set)'),
    (pod(within(seccompProfile={"type": "Unconfined"})),
     'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")'),
    (pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
     "forbidden sysctls (kernel.msgmax)"),
    (pod(securityContext={"windowsOptions": {"hostProcess": True}}),
     "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)"),
    (pod(meta={"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}}),
     'forbidden AppArmor profile (annotation must not set AppArmor profile type to '
     '"container.apparmor.security.beta.kubernetes.io/c="unconfined"")'),
]  # fmt: skip
RESTRICTED = [
    (pod({"securityContext": None}), [
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)',
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"])',
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)',
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")',
    ]),
    (pod(within(runAsUser=0)), ['runAsUser=0 (container "c" must not set runAsUser=0)']),
    (pod(volumes=[{"name": "v", "nfs": {"server": "s", "path": "/"}}]),
     ['restricted volume types (volume "v" uses restricted volume type "nfs")']),
    (pod(within(runAsNonRoot=False)),
     ['runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)']),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "text"), BASELINE, ids=[text.partition(" ")[0] for _, text in BASELINE])
def test_baseline(obj: Any, text: str) -> None:
    assert words("baseline", 36, obj) == [text]
    assert words("privileged", 36, obj) == []


@pytest.mark.parametrize(("obj", "texts"), RESTRICTED)
def test_restricted(obj: Any, texts: list[str]) -> None:
    assert words("restricted", 36, obj) == texts
    assert words("baseline", 36, obj) == []


def test_versions_differ() -> None:
    probed = pod({"livenessProbe": {"httpGet": {"port": 1, "host": "h"}}})
    assert words("baseline", 33, probed) == []
    assert words("baseline", 34, probed)
    windows = pod({"securityContext": {"runAsNonRoot": True}}, os={"name": "windows"})
    assert words("restricted", 24, windows)
    assert words("restricted", 25, windows) == []
    own_users = pod(within(runAsUser=0, runAsNonRoot=None), hostUsers=False)
    assert words("restricted", 34, own_users)
    assert words("restricted", 35, own_users) == words("restricted", 1000, own_users) == []
    assert words("restricted", 36, pod()) == []


def test_policies_in_labels() -> None:
    policy, errors = policy_of({PREFIX + "enforce": "restricted", PREFIX + "enforce-version": "v1.20"}, Policy())
    assert errors == []
    assert [str(mode) for mode in policy] == ["restricted:v1.20", "privileged:latest", "restricted:v1.20"]
    policy, errors = policy_of(
        {PREFIX + "enforce": "x", PREFIX + "warn-version": "1.2", PREFIX + "warn": "y"}, Policy()
    )
    assert [str(mode) for mode in policy] == ["restricted:latest", "privileged:latest", "privileged:latest"]
    assert [str(error) for error in errors] == [
        f'metadata.labels[{PREFIX}enforce]: Invalid value: "x": must be one of privileged, baseline, restricted',
        f'metadata.labels[{PREFIX}warn]: Invalid value: "y": must be one of privileged, baseline, restricted',
        f'metadata.labels[{PREFIX}warn-version]: Invalid value: "1.2": must be "latest" or "v1.x"',
    ]


def caches(**labels: str) -> FakeCaches:
    made = FakeCaches()
    namespace = new(NAMESPACE, "ns")
    namespace.metadata.labels = {PREFIX + key.replace("_", "-"): value for key, value in labels.items()}
    made.put(NAMESPACE, namespace)
    return made


def asked(obj: Any, old: Any = None, kind: Any = POD) -> AdmissionRequest:
    namespace = "ns" if kind.namespaced else ""
    return AdmissionRequest(
        kind, "CREATE" if old is None else "UPDATE", namespace, obj.metadata.name, obj, old, User("bob")
    )


async def test_enforced_pods_are_refused_and_others_warned_about() -> None:
    bad = pod(hostNetwork=True)
    request = asked(bad)
    with pytest.raises(Forbidden) as refusal:
        await PodSecurity(caches(enforce="baseline")).validate(request)
    assert refusal.value.message == (
        'pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    )
    request = asked(bad)
    await PodSecurity(caches(warn="baseline", audit="restricted", audit_version="v1.1")).validate(request)
    assert request.warnings == ['would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)']
    assert request.annotations == {
        PREFIX + "enforce-policy": "privileged:latest",
        PREFIX + "audit-violations": 'would violate PodSecurity "restricted:v1.1": host namespaces (hostNetwork=true)',
    }


async def test_templates_are_warned_about_and_never_refused() -> None:
    deployment = new(DEPLOYMENT, "d", "ns")
    deployment.spec.template.spec = pod(hostIPC=True).spec
    request = asked(deployment, kind=DEPLOYMENT)
    await PodSecurity(caches(enforce="baseline")).validate(request)
    assert request.warnings == ['would violate PodSecurity "baseline:latest": host namespaces (hostIPC=true)']


async def test_updates_count_only_where_images_change() -> None:
    plugin = PodSecurity(caches(enforce="baseline"))
    bad = pod(hostNetwork=True)
    await plugin.validate(asked(bad, pod(hostNetwork=True)))
    with pytest.raises(Forbidden):
        await plugin.validate(asked(bad, pod({"image": "other"}, hostNetwork=True)))


async def test_the_exempt() -> None:
    settings = Settings(users=frozenset({"bob"}))
    request = asked(pod(hostNetwork=True))
    await PodSecurity(caches(enforce="restricted"), settings).validate(request)
    assert request.annotations == {PREFIX + "exempt": "user"}


async def test_labels_of_namespaces() -> None:
    plugin = PodSecurity(caches())
    wrong = new(NAMESPACE, "other")
    wrong.metadata.labels = {PREFIX + "enforce": "strict"}
    with pytest.raises(Invalid, match=r'Namespace "other" is invalid: metadata\.labels'):
        await plugin.validate(asked(wrong, kind=NAMESPACE))


async def test_pods_that_would_not_be_let_in_any_more() -> None:
    held = caches()
    for name in ("b", "a", "c"):
        bad = pod(hostNetwork=True, meta={"namespace": "ns", "name": name})
        held.put(POD, bad)
    held.put(POD, pod(meta={"namespace": "ns", "name": "good"}))
    strict = new(NAMESPACE, "ns")
    strict.metadata.labels = {PREFIX + "enforce": "baseline"}
    request = asked(strict, new(NAMESPACE, "ns"), NAMESPACE)
    await PodSecurity(held).validate(request)
    assert request.warnings == [
        'existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 2 other pods): host namespaces",
    ]
