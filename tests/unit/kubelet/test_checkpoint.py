from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tiphys.api.errors import ApiError
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.kubelet.checkpoint import Checkpoints
from tiphys.kubelet.cri.client import RuntimeFailure
from tiphys.kubelet.state import ContainerRun, PodRuntime, RunState
from tiphys.testing.clock import FakeClock


class Runtime:
    def __init__(self, failure: RuntimeFailure | None = None) -> None:
        self.failure = failure
        self.asked: list[tuple[str, Path, int]] = []

    async def checkpoint_container(self, container_id: str, location: Path, timeout_s: int) -> None:
        self.asked.append((container_id, location, timeout_s))
        if self.failure is not None:
            raise self.failure


async def ask(directory: Path, runtime: Runtime, path: str) -> web.Response:
    pod = Pod()
    pod.spec.containers = [Container(name="main"), Container(name="done")]
    runs = (
        ContainerRun("id-1", "main", RunState.RUNNING, 0),
        ContainerRun("id-2", "done", RunState.EXITED, 0),
    )
    worker = SimpleNamespace(pod=pod, observer=SimpleNamespace(runtime=PodRuntime((), runs)))
    kubelet: Any = SimpleNamespace(
        worker=lambda namespace, name: worker if name == "web" else None,
        settings=SimpleNamespace(root_dir=directory),
        cri=runtime,
    )
    _, namespace, name, container = path.partition("?")[0].strip("/").split("/")
    where: Any = {"namespace": namespace, "pod": name, "container": container}
    return await Checkpoints(kubelet, FakeClock()).serve(make_mocked_request("POST", path, match_info=where))


async def test_the_runtime_writes_an_archive_that_is_named(tmp_path: Path) -> None:
    runtime = Runtime()
    answer = await ask(tmp_path, runtime, "/checkpoint/default/web/main?timeout=5")
    ((container, location, timeout_s),) = runtime.asked
    assert (container, timeout_s) == ("id-1", 5) and location.parent == tmp_path / "checkpoints"
    assert location.name.startswith("checkpoint-web_default-main-") and str(location) in (answer.text or "")
    assert location.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("path", "code", "told"),
    [
        ("/checkpoint/default/other/main", 404, "pod does not exist"),
        ("/checkpoint/default/web/none", 404, "container none does not exist"),
        ("/checkpoint/default/web/main?timeout=x", 404, "cannot parse value of timeout parameter"),
        ("/checkpoint/default/web/done", 500, r"failed \(container done not found\)"),
        ("/checkpoint/default/web/main", 500, "code = Unimplemented desc = unknown method"),
    ],
)
async def test_refusals(tmp_path: Path, path: str, code: int, told: str) -> None:
    with pytest.raises(ApiError, match=told) as caught:
        await ask(tmp_path, Runtime(RuntimeFailure("unknown method", "UNIMPLEMENTED")), path)
    assert caught.value.code == code
