"""What a kubelet may read follows its pods as they come, change and go."""

from __future__ import annotations

from typing import Any

from front_fakes import FakeCaches

from tiphys.api.kind import new
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.pod.containers import Container, EnvFromSource, SecretEnvSource
from tiphys.api.kinds.core.pod.spec import PodSpec
from tiphys.apiserver.authz.node import NodeAuthorizer
from tiphys.apiserver.request import RequestInfo, User

NODE = User("system:node:n1", groups=("system:nodes",))


def pod(name: str, node: str, secret: str, *, annotations: dict[str, str] | None = None) -> Any:
    reference = EnvFromSource(secret_ref=SecretEnvSource(name=secret))
    spec = PodSpec(node_name=node, containers=[Container(name="c", env_from=[reference])])
    made = new(POD, name, "ns", spec=spec)
    made.metadata.uid = f"uid-{name}"
    made.metadata.annotations = annotations or {}
    return made


def read(secret: str) -> RequestInfo:
    return RequestInfo(
        verb="get", path="", is_resource=True, version="v1", resource="secrets", namespace="ns", name=secret
    )


def test_it_follows_pods() -> None:
    caches = FakeCaches()
    caches.put(POD, pod("early", "n1", "s0"))
    authorizer = NodeAuthorizer(caches, ())
    assert authorizer.check(NODE, read("s0")) == (True, "")
    caches.put(POD, pod("a", "", "s1"))
    assert not authorizer.check(NODE, read("s1"))[0]
    caches.put(POD, pod("a", "n1", "s1"))
    caches.put(POD, pod("b", "n1", "s1"))
    caches.cache_of(POD).remove("ns", "a")
    assert authorizer.check(NODE, read("s1"))[0]
    caches.cache_of(POD).remove("ns", "b")
    assert authorizer.check(NODE, read("s1")) == (
        False, "no relationship found between node 'n1' and this object",
    )  # fmt: skip


def test_other_nodes_and_other_users() -> None:
    caches = FakeCaches()
    authorizer = NodeAuthorizer(caches, ())
    caches.put(POD, pod("a", "n2", "s1"))
    assert not authorizer.check(NODE, read("s1"))[0]
    assert authorizer.check(User("system:node:n2"), read("s1")) == (False, "")
    assert authorizer.check(User("x", groups=("system:nodes",)), read("s1"))[1] == 'unknown node for user "x"'


def test_a_mirror_pod_grants_nothing() -> None:
    caches = FakeCaches()
    authorizer = NodeAuthorizer(caches, ())
    caches.put(POD, pod("m", "n1", "s1", annotations={"kubernetes.io/config.mirror": "x"}))
    assert not authorizer.check(NODE, read("s1"))[0]
