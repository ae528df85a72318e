"""The paths of metrics.k8s.io over an API in memory; kubelets are pages of text."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tiphys.addons.metrics.api import MetricsApi
from tiphys.addons.metrics.scraper import FRESH_S
from tiphys.api.errors import ApiError, BadRequest, InternalError, MethodNotAllowed, NotFound
from tiphys.api.kinds import NODE, POD
from tiphys.testing.builders import node, pod
from tiphys.testing.clock import FakeClock, settle
from tiphys.testing.memory_api import MemoryApi

ROOT = "/apis/metrics.k8s.io/v1beta1"


class Kubelets(MemoryApi):
    """Each uses half a core and, per pod, an eighth."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.asked: list[str] = []
        self.down: set[str] = set()

    async def raw(self, method: str, path: str, query: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
        name = path.split("/")[4]
        assert path == f"/api/v1/nodes/{name}/proxy/metrics/resource"
        self.asked.append(name)
        if name in self.down:
            raise InternalError("no route to host")
        now = self.clock.now().timestamp()
        lines = [f"node_cpu_usage_seconds_total {now / 2} {int(now * 1000)}"]
        lines.append(f"node_memory_working_set_bytes 2048 {int(now * 1000)}")
        for found in self.informer(POD).list():
            if found.spec.node_name == name:
                labels = f'{{container="c",namespace="{found.metadata.namespace}",pod="{found.metadata.name}"}}'
                lines.append(f"container_cpu_usage_seconds_total{labels} {now / 8} {int(now * 1000)}")
                lines.append(f"container_memory_working_set_bytes{labels} 1024 {int(now * 1000)}")
        return "\n".join(lines).encode()


class Front:
    """Asks while the clock moves."""

    def __init__(self, api: Any, clock: FakeClock) -> None:
        self._api, self._clock = api, clock

    async def get(self, path: str, method: str = "GET", **query: str) -> Any:
        asking = asyncio.ensure_future(self._api.answer(method, path, query))
        async with asyncio.timeout(30):
            await settle()
            await self._clock.advance(1.5)
            return await asking


@pytest.fixture(autouse=True)
def pages_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a thread: all nodes have been asked when the clock moves."""

    async def at_once(function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", at_once)


@pytest.fixture
async def kubelets() -> Kubelets:
    made = Kubelets(FakeClock())
    for name in ("n1", "n2"):
        await made.create(NODE, node(name))
    for name, where, labels in (("web", "n1", {"app": "web"}), ("db", "n2", {}), ("waiting", "", {})):
        obj = pod(name, namespace="shop", labels=labels)
        obj.spec.node_name = where
        await made.create(POD, obj)
    return made


@pytest.fixture
def front(kubelets: Kubelets) -> Front:
    return Front(MetricsApi(kubelets, kubelets.clock), kubelets.clock)  # type: ignore[arg-type]  # a part of a client


async def test_nodes(front: Front) -> None:
    found = await front.get(f"{ROOT}/nodes")
    assert found["kind"] == "NodeMetricsList"
    assert [(i["metadata"]["name"], i["usage"], i["window"]) for i in found["items"]] == [
        ("n1", {"cpu": "500000000n", "memory": "2Ki"}, "1s"),
        ("n2", {"cpu": "500000000n", "memory": "2Ki"}, "1s"),
    ]
    assert "kind" not in found["items"][0]


async def test_one_node(front: Front, kubelets: Kubelets) -> None:
    found = await front.get(f"{ROOT}/nodes/n1")
    assert (found["kind"], found["apiVersion"]) == ("NodeMetrics", "metrics.k8s.io/v1beta1")
    assert kubelets.asked == ["n1", "n1"], "twice, for a rate; and no other"
    with pytest.raises(NotFound, match='nodes "none" not found'):
        await front.get(f"{ROOT}/nodes/none")


async def test_pods_by_namespace_and_labels(front: Front, kubelets: Kubelets) -> None:
    found = await front.get(f"{ROOT}/namespaces/shop/pods", labelSelector="app=web")
    assert [i["metadata"]["name"] for i in found["items"]] == ["web"]
    assert found["items"][0]["containers"] == [{"name": "c", "usage": {"cpu": "125000000n", "memory": "1Ki"}}]
    assert set(kubelets.asked) == {"n1"}
    assert (await front.get(f"{ROOT}/namespaces/other/pods"))["items"] == []
    names = [i["metadata"]["name"] for i in (await front.get(f"{ROOT}/pods"))["items"]]
    assert names == ["db", "web"], "what runs nowhere uses nothing"


async def test_one_pod(front: Front) -> None:
    assert (await front.get(f"{ROOT}/namespaces/shop/pods/web"))["metadata"]["namespace"] == "shop"
    with pytest.raises(NotFound, match=r'podmetrics\.metrics\.k8s\.io "shop/waiting" not found'):
        await front.get(f"{ROOT}/namespaces/shop/pods/waiting")
    with pytest.raises(NotFound, match='pods "none" not found'):
        await front.get(f"{ROOT}/namespaces/shop/pods/none")


async def test_a_kubelet_that_does_not_answer_is_left_out(front: Front, kubelets: Kubelets) -> None:
    kubelets.down.add("n1")
    assert [i["metadata"]["name"] for i in (await front.get(f"{ROOT}/nodes"))["items"]] == ["n2"]
    with pytest.raises(NotFound, match=r'nodemetrics\.metrics\.k8s\.io "n1" not found'):
        await front.get(f"{ROOT}/nodes/n1")


async def test_what_was_just_asked_is_not_asked_again(front: Front, kubelets: Kubelets) -> None:
    await front.get(f"{ROOT}/nodes/n1")
    await front.get(f"{ROOT}/nodes/n1")
    assert len(kubelets.asked) == 2
    await kubelets.clock.advance(FRESH_S)
    found = await front.get(f"{ROOT}/nodes/n1")
    assert len(kubelets.asked) == 3, "the last page is what the new one is compared with"
    assert float(found["window"][:-1]) > FRESH_S
    await kubelets.clock.advance(600)
    assert (await front.get(f"{ROOT}/nodes/n1"))["window"] == "1s"
    assert len(kubelets.asked) == 5


@pytest.mark.parametrize(
    ("method", "path", "query", "error"),
    [
        ("POST", f"{ROOT}/nodes", {}, MethodNotAllowed),
        ("GET", f"{ROOT}/cats", {}, NotFound),
        ("GET", f"{ROOT}/pods", {"labelSelector": "a in ("}, BadRequest),
        ("GET", f"{ROOT}/pods", {"fieldSelector": "spec.nodeName=n1"}, BadRequest),
        ("GET", f"{ROOT}/pods", {"fieldSelector": "metadata.name"}, BadRequest),
    ],
)
async def test_what_makes_no_sense(
    front: Front, method: str, path: str, query: dict[str, str], error: type[ApiError]
) -> None:
    with pytest.raises(error):
        await front.get(path, method, **query)


async def test_discovery(front: Front) -> None:
    found = await front.get(ROOT)
    assert [(r["name"], r["kind"], r["namespaced"]) for r in found["resources"]] == [
        ("nodes", "NodeMetrics", False),
        ("pods", "PodMetrics", True),
    ]
    assert (await front.get("/apis/metrics.k8s.io"))["preferredVersion"]["version"] == "v1beta1"
    assert (await front.get("/apis"))["kind"] == "APIGroupList"
