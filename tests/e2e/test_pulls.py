"""Images from a registry: with a login, through a mirror, and again each time where the policy says so."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import kubelet_node
from tests.e2e.kubelet_node import TestNode, node_in, own_network, write_busybox
from tests.e2e.registry import Registry, registry
from tiphys.api.codec import from_json
from tiphys.api.kinds import POD, SECRET
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.kubelet.images import collector

pytestmark = pytest.mark.skipif(bool(kubelet_node.missing()), reason=kubelet_node.missing())

LOGIN = "someone:s3cret"


def pod(name: str, image: str, *secrets: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": image, "command": ["sleep", "1000"]} | spec.pop("container", {})
    pulls = [{"name": secret} for secret in secrets]
    base = {"containers": [container], "imagePullSecrets": pulls, "terminationGracePeriodSeconds": 0}
    return {"metadata": {"name": name}, "spec": base | spec}


def put_login(node: TestNode, name: str, host: str, login: str) -> None:
    auths = {"auths": {host: {"auth": base64.b64encode(login.encode()).decode()}}}
    data = {".dockerconfigjson": base64.b64encode(json.dumps(auths).encode()).decode()}
    meta = {"name": name, "namespace": "default"}
    body = {"metadata": meta, "type": "kubernetes.io/dockerconfigjson", "data": data}
    node.api.put(SECRET, from_json(SECRET.schema, body))


def waits(found: Pod | None) -> tuple[str, str]:
    waiting = found.status.container_statuses[0].state.waiting if found and found.status.container_statuses else None
    return (waiting.reason, waiting.message) if waiting else ("", "")


async def scene(directory: Path) -> None:
    archive = directory / "image.tar"
    directory.mkdir(exist_ok=True)
    write_busybox(archive)
    with registry(archive, LOGIN) as private, registry(archive) as mirror:
        async with node_in(directory) as node:
            certificates = node.runtime.directory / "certs.d"
            for name, server in ((private.host, private), ("images.example.com", mirror)):
                (certificates / name).mkdir(parents=True)
                text = f'[host."http://{server.host}"]\n  capabilities = ["pull", "resolve"]\n'
                (certificates / name / "hosts.toml").write_text(text)
            await pulls(node, private, mirror)


async def pulls(node: TestNode, private: Registry, mirror: Registry) -> None:
    image = f"{private.host}/team/tool:1"
    put_login(node, "right", private.host, LOGIN)
    put_login(node, "wrong", private.host, "someone:else")
    node.api.run(pod("stranger", image))
    node.api.run(pod("liar", image, "wrong"))
    node.api.run(pod("mirrored", "images.example.com/tool:1"))
    for name in ("stranger", "liar"):
        shown = waits(await node.until(name, lambda p: waits(p)[0] in ("ErrImagePull", "ImagePullBackOff")))
        assert "401 Unauthorized" in shown[1]
    node.api.run(pod("member", image, "wrong", "right"))
    await node.until_phase("member", "Running")
    assert any(
        reason == "Pulled" and text.startswith("Successfully pulled image") for reason, text in node.reasons("member")
    )
    await node.until_phase("mirrored", "Running")
    assert mirror.asked["tool"] == 1

    # `Always` asks the registry each time; `IfNotPresent` does not.
    for name, policy, asked in (("present", "IfNotPresent", 1), ("again", "Always", 2)):
        container = {"imagePullPolicy": policy}
        node.api.run(pod(name, "images.example.com/tool:1", container=container))
        await node.until_phase(name, "Running")
        assert mirror.asked["tool"] == asked
    volume = {"name": "files", "image": {"reference": "images.example.com/files:1", "pullPolicy": "Always"}}
    for asked in (1, 2):
        mounts = {"volumeMounts": [{"name": "files", "mountPath": "/files"}], "imagePullPolicy": "IfNotPresent"}
        node.api.run(pod(f"reads-{asked}", "images.example.com/tool:1", container=mounts, volumes=[volume]))
        await node.until_phase(f"reads-{asked}", "Running")
        assert mirror.asked["files"] == asked


async def ageing(directory: Path) -> None:
    archive = directory / "image.tar"
    directory.mkdir(exist_ok=True)
    write_busybox(archive)
    with registry(archive) as server:
        async with node_in(directory, image_min_age_s=0.0, image_max_age_s=1.0) as node:
            certificates = node.runtime.directory / "certs.d" / server.host
            certificates.mkdir(parents=True)
            (certificates / "hosts.toml").write_text(f'[host."http://{server.host}"]\n')
            image, once = f"{server.host}/tool:1", {"imagePullPolicy": "IfNotPresent"}

            async def there() -> bool:
                return any(image in found.repo_tags for found in await node.kubelet.cri.list_images())

            for name in ("first", "other"):
                node.api.run(pod(name, image, container=once))
                await node.until_phase(name, "Running")
            await node.api.delete(POD, "first", "default", grace_period_s=0)
            await node.until_gone("first")
            # One that runs stays, however old.
            await asyncio.sleep(2.0)
            assert await there()
            await node.api.delete(POD, "other", "default", grace_period_s=0)
            await node.until_gone("other")
            async with asyncio.timeout(60):
                while await there():  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0.1)
            # On a busy machine an image may grow old before its container is there: then it was pulled once more.
            asked = server.asked["tool"]
            node.api.run(pod("again", image, container=once))
            await node.until_phase("again", "Running")
            assert server.asked["tool"] > asked


def test_images_grow_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "PERIOD_S", 0.5)
    with own_network():
        asyncio.run(ageing(tmp_path))


def test_pulls(tmp_path: Path) -> None:
    with own_network():
        asyncio.run(scene(tmp_path))
