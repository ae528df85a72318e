"""Python's clients, each in its own way: made, read, listed, watched, changed, applied, deleted; logs, exec, CRDs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from client_kinds import GROUP, definition

LOG = "first\nsecond\n"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def until(reached: Callable[[], Any], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.02)


# The official client.


@pytest.fixture
def official(kubeconfig: Path) -> Iterator[Any]:
    kubernetes = pytest.importorskip("kubernetes")
    with kubernetes.config.new_client_from_config(str(kubeconfig)) as client:
        yield client


def test_the_official_client_logs_and_executes(official: Any, namespace: str, pod: str) -> None:
    from kubernetes import client
    from kubernetes.stream import stream

    core = client.CoreV1Api(official)
    assert core.read_namespaced_pod_log(pod, namespace) == LOG
    said = stream(core.connect_get_namespaced_pod_exec, pod, namespace, command=["say", "it"], stdout=True)
    assert said == "say it\n"


def test_the_official_clients_dynamic_half(official: Any, namespace: str) -> None:
    from kubernetes.dynamic import DynamicClient

    dynamic = DynamicClient(official)
    definitions = dynamic.resources.get(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition")
    definitions.create(body=definition("dynamics", "Dynamic"))
    until(lambda: any(
        c.type == "Established" and c.status == "True"
        for c in definitions.get(name=f"dynamics.{GROUP}").status.conditions or ()
    ))  # fmt: skip
    try:
        dynamic.resources.invalidate_cache()
        things = dynamic.resources.get(api_version=f"{GROUP}/v1", kind="Dynamic")
        head = {"apiVersion": f"{GROUP}/v1", "kind": "Dynamic", "metadata": {"name": "a"}}
        assert things.create(body={**head, "spec": {"color": "red"}}, namespace=namespace).spec.size == 1
        applied = things.server_side_apply(
            body={**head, "spec": {"size": 2}},
            name="a",
            namespace=namespace,
            field_manager="test",
            force_conflicts=True,
        )
        assert (applied.spec.size, applied.spec.color) == (2, "red")
        changed = things.patch(
            body={"spec": {"size": 3}}, name="a", namespace=namespace, content_type="application/merge-patch+json"
        )
        assert changed.spec.size == 3
        seen = things.watch(namespace=namespace, timeout=1)
        assert [(event["type"], event["object"].metadata.name) for event in seen] == [("ADDED", "a")]
        assert things.delete(name="a", namespace=namespace).status == "Success"
    finally:
        definitions.delete(name=f"dynamics.{GROUP}")


# lightkube.


def test_lightkube(kubeconfig: Path, namespace: str, pod: str) -> None:
    lightkube = pytest.importorskip("lightkube")
    from lightkube.core.exceptions import ApiError
    from lightkube.generic_resource import create_namespaced_resource
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
    from lightkube.resources.core_v1 import ConfigMap, Pod

    client = lightkube.Client(lightkube.KubeConfig.from_file(kubeconfig), field_manager="lightkube")
    try:
        made = client.create(ConfigMap(metadata=ObjectMeta(name="a", namespace=namespace), data={"k": "1"}))
        assert client.get(ConfigMap, "a", namespace=namespace).metadata.uid == made.metadata.uid
        assert [item.metadata.name for item in client.list(ConfigMap, namespace=namespace)] == ["a"]
        assert client.patch(ConfigMap, "a", {"data": {"k": "2"}}, namespace=namespace).data == {"k": "2"}
        applied = ConfigMap(
            apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="b", namespace=namespace), data={"k": "3"}
        )
        assert client.apply(applied).data == {"k": "3"}
        kind, seen = next(iter(client.watch(ConfigMap, namespace=namespace, fields={"metadata.name": "b"})))
        assert (kind, seen.data) == ("ADDED", {"k": "3"})
        client.delete(ConfigMap, "a", namespace=namespace)
        with pytest.raises(ApiError) as caught:
            client.get(ConfigMap, "a", namespace=namespace)
        assert (caught.value.status.reason, caught.value.status.code) == ("NotFound", 404)
        assert "".join(client.log(pod, namespace=namespace)) == LOG

        client.create(CustomResourceDefinition.from_dict(definition("lights", "Light")))
        client.wait(CustomResourceDefinition, f"lights.{GROUP}", for_conditions=["Established"])
        lights = create_namespaced_resource(GROUP, "v1", "Light", "lights")
        light = lights(metadata=ObjectMeta(name="l", namespace=namespace), spec={"color": "blue"})
        assert client.create(light).spec == {"color": "blue", "size": 1}
        assert client.get(Pod, pod, namespace=namespace).status.phase == "Running"
        client.delete(CustomResourceDefinition, f"lights.{GROUP}")
    finally:
        client.close()


# kr8s.


@pytest.mark.filterwarnings("ignore:Kubernetes version")  # newer than it knows
def test_kr8s(kubeconfig: Path, namespace: str, pod: str) -> None:
    kr8s = pytest.importorskip("kr8s")
    from kr8s.objects import ConfigMap, CustomResourceDefinition, Pod, new_class

    api = kr8s.api(kubeconfig=str(kubeconfig))
    made = ConfigMap({**config_map("a", k="1"), "metadata": {"name": "a", "namespace": namespace}}, api=api)
    made.create()
    made.patch({"data": {"k": "2"}})
    assert [item.data.k for item in api.get("configmaps", namespace=namespace)] == ["2"]
    made.label({"tier": "front"})
    assert [item.name for item in api.get("configmaps", namespace=namespace, label_selector={"tier": "front"})] == ["a"]
    kind, seen = next(iter(api.watch("configmaps", namespace=namespace)))
    assert (kind, seen.name) == ("ADDED", "a")
    made.delete()
    assert not made.exists()
    running = Pod.get(pod, namespace=namespace, api=api)
    assert "\n".join(running.logs()).split() == LOG.split()
    assert running.exec(["say", "it"]).stdout == b"say it\n"

    defined = CustomResourceDefinition(definition("krates", "Krate"), api=api)
    defined.create()
    defined.wait("condition=Established")
    krates = new_class(kind="Krate", version=f"{GROUP}/v1", namespaced=True, plural="krates")
    krate = krates({"metadata": {"name": "k", "namespace": namespace}, "spec": {"color": "oak"}}, api=api)
    krate.create()
    krate.refresh()
    assert krate.spec.size == 1
    defined.delete()


# kopf.


def test_a_kopf_operator(
    kubeconfig: Path, api: Any, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """It sees objects made, changed and deleted, writes their status, and keeps them until it has let them go."""
    kopf = pytest.importorskip("kopf")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    assert (
        api.request(
            "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition("kopfs", "Kopf")
        ).status
        == 201
    )
    registry, told = kopf.OperatorRegistry(), []

    kopf.on.login(registry=registry)(kopf.login_with_kubeconfig)

    @kopf.on.create(GROUP, "v1", "kopfs", registry=registry)
    def created(spec: Any, patch: Any, **_: Any) -> None:
        patch.status["told"] = f"{spec['size']} {spec['color']}"

    @kopf.on.update(GROUP, "v1", "kopfs", registry=registry)
    def updated(spec: Any, patch: Any, **_: Any) -> None:
        patch.status["told"] = f"now {spec['size']}"

    @kopf.on.delete(GROUP, "v1", "kopfs", registry=registry)
    def deleted(name: str, **_: Any) -> None:
        told.append(name)

    stop, ready = threading.Event(), threading.Event()
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    running = threading.Thread(
        target=lambda: kopf.run(
            registry=registry, settings=settings, namespaces=[namespace], standalone=True, stop_flag=stop,
            ready_flag=ready,
        ),
        name="kopf", daemon=True,
    )  # fmt: skip
    running.start()
    path = f"/apis/{GROUP}/v1/namespaces/{namespace}/kopfs"
    try:
        assert ready.wait(30)
        assert api.request("POST", path, {
            "apiVersion": f"{GROUP}/v1", "kind": "Kopf", "metadata": {"name": "k"}, "spec": {"color": "red"},
        }).status == 201  # fmt: skip
        until(lambda: api.request("GET", f"{path}/k").json.get("status", {}).get("told") == "1 red")
        assert api.request(
            "PATCH", f"{path}/k", {"spec": {"size": 7}}, content_type="application/merge-patch+json"
        ).status == 200  # fmt: skip
        until(lambda: api.request("GET", f"{path}/k").json["status"]["told"] == "now 7")
        assert api.request("GET", f"{path}/k").json["metadata"]["finalizers"]
        api.request("DELETE", f"{path}/k")
        until(lambda: api.request("GET", f"{path}/k").status == 404)
        assert told == ["k"]
    finally:
        stop.set()
        running.join(30)
        api.request("DELETE", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/kopfs.{GROUP}")
    assert not running.is_alive()
