"""The smaller plugins, each with what it changes and what it refuses; the chain that calls them."""

from __future__ import annotations

from typing import Any

import pytest
from front_fakes import FakeCaches

from tiphys.api.errors import ApiError, Forbidden
from tiphys.api.kind import new
from tiphys.api.kinds import (
    BINDING,
    CONFIGMAP,
    CSINODE,
    INGRESS,
    INGRESSCLASS,
    LEASE,
    LIMITRANGE,
    NODE,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    POD,
    PRIORITYCLASS,
    RESOURCESLICE,
    RUNTIMECLASS,
    SERVICE,
    STORAGECLASS,
)
from tiphys.api.kinds.core.limitrange import LimitRangeItem
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.references import Toleration
from tiphys.api.kinds.node.runtimeclass import Overhead, Scheduling
from tiphys.api.meta.schema import Quantity, copy_of
from tiphys.apiserver.admission import pod_plugins
from tiphys.apiserver.admission.chain import AdmissionChain
from tiphys.apiserver.admission.default_classes import DefaultIngressClass, DefaultStorageClass
from tiphys.apiserver.admission.limit_ranger import LimitRanger
from tiphys.apiserver.admission.node_restriction import NodeRestriction
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.plugins import DEFAULT_OFF, ORDER, chosen
from tiphys.apiserver.admission.priority import Priority
from tiphys.apiserver.admission.runtime_class import RuntimeClassPlugin
from tiphys.apiserver.admission.storage import PersistentVolumeClaimResize, StorageObjectInUseProtection
from tiphys.apiserver.admission.tolerations import covers, merged
from tiphys.apiserver.registry.interface import AdmissionRequest
from tiphys.apiserver.request import User

NODE_USER = User("system:node:n1", groups=("system:nodes",))


def request(kind: Any, obj: Any, old: Any = None, *, user: User | None = None, subresource: str = "") -> Any:
    namespace = "ns" if kind.namespaced else ""
    operation: Any = "CREATE" if old is None else "UPDATE"
    name = obj.metadata.name
    return AdmissionRequest(kind, operation, namespace, name, obj, old, user or User("bob"), subresource)


async def run(plugin: Any, asked: AdmissionRequest) -> Any:
    """Through the chain, as a server does."""
    chain = AdmissionChain([plugin])
    await chain.admit(asked)
    await chain.validate(asked)
    return asked.obj


async def refused(plugin: Any, asked: AdmissionRequest) -> str:
    with pytest.raises(ApiError) as error:
        await run(plugin, asked)
    return error.value.message


def pod(**spec: Any) -> Any:
    made = new(POD, "p", "ns")
    made.spec.containers = [Container(name="c", image="i")]
    for name, value in spec.items():
        setattr(made.spec, name, value)
    return made


def amounts(**texts: str) -> dict[str, Quantity]:
    return {name.replace("_", "."): Quantity(text) for name, text in texts.items()}


# LimitRanger.


def ranges(**fields: Any) -> FakeCaches:
    caches = FakeCaches()
    made = new(LIMITRANGE, "limits", "ns")
    made.spec.limits = [LimitRangeItem(**fields)]
    caches.put(LIMITRANGE, made)
    return caches


async def test_defaults_of_containers_and_the_note_of_them() -> None:
    caches = ranges(type="Container", default=amounts(cpu="2"), default_request=amounts(cpu="1", memory="1Gi"))
    made = await run(LimitRanger(caches), request(POD, pod()))
    resources = made.spec.containers[0].resources
    assert (resources.limits, resources.requests) == ({"cpu": "2"}, {"cpu": "1", "memory": "1Gi"})
    assert made.metadata.annotations == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu, memory request for container c; cpu limit for "
        "container c"
    }


@pytest.mark.parametrize(
    ("fields", "requests", "limits", "text"),
    [
        ({"min": amounts(cpu="1")}, {}, {}, "minimum cpu usage per Container is 1.  No request is specified"),
        ({"min": amounts(cpu="1")}, {"cpu": "500m"}, {}, "minimum cpu usage per Container is 1, but request is 500m"),
        ({"max": amounts(cpu="1")}, {"cpu": "1"}, {}, "maximum cpu usage per Container is 1.  No limit is specified"),
        ({"max": amounts(cpu="1")}, {"cpu": "1"}, {"cpu": "2"}, "maximum cpu usage per Container is 1, but limit is 2"),
        ({"max_limit_request_ratio": amounts(cpu="2")}, {"cpu": "1"}, {"cpu": "3"},
         "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"),
        ({"max_limit_request_ratio": amounts(cpu="2")}, {}, {"cpu": "3"},
         "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"),
    ],
)  # fmt: skip
async def test_bounds_of_containers(fields: Any, requests: Any, limits: Any, text: str) -> None:
    wanted = pod()
    wanted.spec.containers[0].resources.requests = amounts(**requests)
    wanted.spec.containers[0].resources.limits = amounts(**limits)
    told = await refused(LimitRanger(ranges(type="Container", **fields)), request(POD, wanted))
    assert told == f'pods "p" is forbidden: {text}'


async def test_bounds_of_whole_pods_and_of_claims() -> None:
    wanted = pod(containers=[Container(name=name, image="i") for name in "ab"])
    for container in wanted.spec.containers:
        container.resources.requests = container.resources.limits = amounts(cpu="1")
    caches = ranges(type="Pod", max=amounts(cpu="1500m"))
    assert "maximum cpu usage per Pod is 1500m, but limit is 2" in await refused(
        LimitRanger(caches), request(POD, wanted)
    )
    claim = new(PERSISTENTVOLUMECLAIM, "c", "ns")
    claim.spec.resources.requests = amounts(storage="2Gi")
    caches = ranges(type="PersistentVolumeClaim", max=amounts(storage="1Gi"))
    told = await refused(LimitRanger(caches), request(PERSISTENTVOLUMECLAIM, claim))
    assert told.endswith("maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi")


# Priority.


def priorities(**values: int) -> FakeCaches:
    caches = FakeCaches()
    for name, value in values.items():
        caches.put(PRIORITYCLASS, new(PRIORITYCLASS, name, value=value, preemption_policy="Never"))
    return caches


async def test_priorities() -> None:
    made = await run(Priority(FakeCaches()), request(POD, pod()))
    assert (made.spec.priority, made.spec.preemption_policy) == (0, "PreemptLowerPriority")
    made = await run(Priority(priorities(high=7)), request(POD, pod(priority_class_name="high")))
    assert (made.spec.priority, made.spec.preemption_policy) == (7, "Never")
    told = await refused(Priority(priorities()), request(POD, pod(priority_class_name="none")))
    assert told == 'pods "p" is forbidden: no PriorityClass with name none was found'
    told = await refused(Priority(priorities(high=7)), request(POD, pod(priority_class_name="high", priority=8)))
    assert "the integer value of priority (8) must not be provided in pod spec" in told


async def test_one_default_priority_class() -> None:
    caches = priorities(low=1)
    caches.cache_of(PRIORITYCLASS).get("", "low").obj.global_default = True
    made = await run(Priority(caches), request(POD, pod()))
    assert (made.spec.priority_class_name, made.spec.priority) == ("low", 1)
    another = new(PRIORITYCLASS, "x", global_default=True)
    told = await refused(Priority(caches), request(PRIORITYCLASS, another))
    assert told.endswith("PriorityClass low is already marked as default. Only one default can exist")


# RuntimeClass, tolerations.


async def test_runtime_classes() -> None:
    caches = FakeCaches()
    tolerations = [Toleration(key="gvisor", operator="Exists")]
    made = new(RUNTIMECLASS, "gvisor", handler="runsc")
    made.overhead = Overhead(pod_fixed=amounts(cpu="250m"))
    made.scheduling = Scheduling(node_selector={"sandbox": "yes"}, tolerations=tolerations)
    caches.put(RUNTIMECLASS, made)
    plugin = RuntimeClassPlugin(caches)
    admitted = await run(plugin, request(POD, pod(runtime_class_name="gvisor", node_selector={"a": "b"})))
    assert admitted.spec.overhead == {"cpu": "250m"}
    assert admitted.spec.node_selector == {"a": "b", "sandbox": "yes"}
    assert admitted.spec.tolerations == tolerations
    assert 'RuntimeClass "none" not found' in await refused(plugin, request(POD, pod(runtime_class_name="none")))
    wrong = pod(runtime_class_name="gvisor", node_selector={"sandbox": "no"})
    assert (await refused(plugin, request(POD, wrong))).endswith(
        "conflict: runtimeClass.scheduling.nodeSelector[sandbox] = yes; pod.spec.nodeSelector[sandbox] = no"
    )
    wrong = pod(overhead=amounts(cpu="1"))
    assert "Pod Overhead set without corresponding RuntimeClass" in await refused(plugin, request(POD, wrong))


def test_tolerations_that_cover_others() -> None:
    everything = Toleration(operator="Exists")
    some = Toleration(key="k", operator="Exists", effect="NoExecute", toleration_seconds=5)
    longer = Toleration(key="k", operator="Exists", effect="NoExecute", toleration_seconds=9)
    equal = Toleration(key="k", value="v", effect="NoSchedule")
    assert covers(everything, some)
    assert covers(longer, some)
    assert not covers(some, longer)
    assert not covers(some, equal)
    assert merged([some, equal], [longer]) == [equal, longer]
    assert merged([equal], [copy_of(equal)]) == [equal]


# Storage and ingress.


async def test_default_classes_the_newest_wins() -> None:
    caches = FakeCaches()
    for name, created in (("old", "2026-01-01T00:00:00Z"), ("new", "2026-02-01T00:00:00Z")):
        made = new(STORAGECLASS, name)
        made.metadata.creation_timestamp = created
        made.metadata.annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
        caches.put(STORAGECLASS, made)
        ingress_class = new(INGRESSCLASS, name)
        ingress_class.metadata.annotations = {"ingressclass.kubernetes.io/is-default-class": "true"}
        caches.put(INGRESSCLASS, ingress_class)
    claim = await run(
        DefaultStorageClass(caches), request(PERSISTENTVOLUMECLAIM, new(PERSISTENTVOLUMECLAIM, "c", "ns"))
    )
    assert claim.spec.storage_class_name == "new"
    chosen_already = new(PERSISTENTVOLUMECLAIM, "c", "ns")
    chosen_already.spec.storage_class_name = ""
    await run(DefaultStorageClass(caches), request(PERSISTENTVOLUMECLAIM, chosen_already))
    assert chosen_already.spec.storage_class_name == ""
    ingress = await run(DefaultIngressClass(caches), request(INGRESS, new(INGRESS, "i", "ns")))
    assert ingress.spec.ingress_class_name == "new"


async def test_volumes_in_use_are_protected_and_grow_only_where_they_can() -> None:
    volume = await run(StorageObjectInUseProtection(), request(PERSISTENTVOLUME, new(PERSISTENTVOLUME, "v")))
    assert volume.metadata.finalizers == ["kubernetes.io/pv-protection"]
    caches = FakeCaches()
    caches.put(STORAGECLASS, new(STORAGECLASS, "fixed"))
    caches.put(STORAGECLASS, new(STORAGECLASS, "growing", allow_volume_expansion=True))
    old = new(PERSISTENTVOLUMECLAIM, "c", "ns")
    old.spec.storage_class_name = "fixed"
    old.spec.resources.requests = amounts(storage="1Gi")
    larger = copy_of(old)
    larger.spec.resources.requests = amounts(storage="2Gi")
    plugin = PersistentVolumeClaimResize(caches)
    told = await refused(plugin, request(PERSISTENTVOLUMECLAIM, larger, old))
    assert told.endswith("Only bound persistent volume claims can be expanded")
    old.status.phase = "Bound"
    assert "only dynamically provisioned pvc" in await refused(plugin, request(PERSISTENTVOLUMECLAIM, larger, old))
    old.spec.storage_class_name = larger.spec.storage_class_name = "growing"
    await run(plugin, request(PERSISTENTVOLUMECLAIM, larger, old))


# Pods and services.


async def test_small_pod_plugins() -> None:
    wanted = pod()
    wanted.spec.containers[0].resources.requests = {"example.com/gpu": Quantity("1"), "cpu": Quantity("1")}
    await run(pod_plugins.ExtendedResourceToleration(), request(POD, wanted))
    assert [t.key for t in wanted.spec.tolerations] == ["example.com/gpu"]
    await run(pod_plugins.AlwaysPullImages(), request(POD, wanted))
    assert wanted.spec.containers[0].image_pull_policy == "Always"
    service = new(SERVICE, "s", "ns")
    service.spec.external_ips = ["1.2.3.4"]
    told = await refused(pod_plugins.DenyServiceExternalIPs(), request(SERVICE, service))
    assert told.endswith("Use of external IPs is denied by admission control")
    await run(pod_plugins.DenyServiceExternalIPs(), request(SERVICE, service, copy_of(service)))


async def test_pods_bear_the_topology_of_their_node() -> None:
    caches = FakeCaches()
    node = new(NODE, "n1")
    node.metadata.labels = {"topology.kubernetes.io/zone": "z", "other": "x"}
    caches.put(NODE, node)
    binding = new(BINDING, "p", "ns")
    binding.target.kind, binding.target.name = "Node", "n1"
    await run(pod_plugins.PodTopologyLabels(caches), request(POD, binding, subresource="binding"))
    assert binding.metadata.labels == {"topology.kubernetes.io/zone": "z"}


# NodeRestriction.


class Nobody:
    async def permits(self, *_: Any) -> bool:
        return False


@pytest.mark.parametrize(
    ("kind", "obj", "text"),
    [
        (CSINODE, new(CSINODE, "n2"), "can only access CSINode with the same name as the requesting node"),
        (LEASE, new(LEASE, "n1", "ns"), 'can only access leases in the "kube-node-lease" system namespace'),
        (PERSISTENTVOLUMECLAIM, new(PERSISTENTVOLUMECLAIM, "c", "ns"), "may only update PVC status"),
        (RESOURCESLICE, new(RESOURCESLICE, "s"),
         "can only create ResourceSlice with the same NodeName as the requesting node"),
        (NODE, new(NODE, "n2"), 'node "n1" is not allowed to modify node "n2"'),
    ],
)  # fmt: skip
async def test_what_a_kubelet_may_not(kind: Any, obj: Any, text: str) -> None:
    plugin = NodeRestriction(FakeCaches(), Nobody())  # type: ignore[arg-type]
    assert (await refused(plugin, request(kind, obj, user=NODE_USER))).endswith(text)
    await run(plugin, request(kind, obj))


# The chain.


def test_the_order_and_the_switches() -> None:
    on = chosen((), ())
    assert on[-1] == "ResourceQuota"
    assert on.index("MutatingAdmissionWebhook") < on.index("ValidatingAdmissionWebhook")
    assert not DEFAULT_OFF & set(on)
    assert set(ORDER) > DEFAULT_OFF
    assert "AlwaysPullImages" in chosen(["AlwaysPullImages"], [])
    assert "PodSecurity" not in chosen([], ["PodSecurity"])
    with pytest.raises(ValueError, match='enable-admission-plugins plugin "Nonsense" is unknown'):
        chosen(["Nonsense"], [])
    with pytest.raises(ValueError, match="overlapped"):
        chosen(["PodSecurity"], ["PodSecurity"])


class Recorder(Plugin):
    name = "Recorder"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.again = False

    def concerns(self, kind: Any, operation: str, subresource: str) -> bool:
        self.calls.append("asked")
        return kind is POD

    async def admit(self, asked: AdmissionRequest) -> None:
        self.calls.append(f"admit {asked.round}")
        asked.again = self.again


async def test_only_those_whom_it_concerns_are_called_and_asked_about_it_once() -> None:
    plugin = Recorder()
    chain = AdmissionChain([plugin])
    for _ in range(3):
        await chain.admit(request(CONFIGMAP, new(CONFIGMAP, "c", "ns")))
        await chain.validate(request(CONFIGMAP, new(CONFIGMAP, "c", "ns")))
    assert plugin.calls == ["asked"]


async def test_a_second_round_and_no_third() -> None:
    plugin = Recorder()
    plugin.again = True
    await AdmissionChain([plugin]).admit(request(POD, pod()))
    assert plugin.calls == ["asked", "admit 0", "admit 1"]


async def test_a_refusal_ends_it() -> None:
    caches = FakeCaches()
    with pytest.raises(Forbidden):
        await run(RuntimeClassPlugin(caches), request(POD, pod(runtime_class_name="x")))
