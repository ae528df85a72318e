"""POST /checkpoint/NAMESPACE/POD/CONTAINER: the runtime writes a running container to an archive on the node.

containerd can since 2.0; an older one says that it does not know the call.

Source: pkg/kubelet/server/server.go (checkpoint), kubelet.go (CheckpointContainer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from tiphys.api.errors import InternalError, NotFound
from tiphys.base.clock import Clock, rfc3339
from tiphys.kubelet.cri.client import RuntimeFailure

if TYPE_CHECKING:
    from tiphys.kubelet.kubelet import Kubelet


class Checkpoints:
    """The handler of one kubelet. Archives are for root alone: they hold the container's memory."""

    def __init__(self, kubelet: Kubelet, clock: Clock) -> None:
        self._kubelet, self._clock = kubelet, clock

    async def serve(self, request: web.Request) -> web.Response:
        """Raises NotFound, InternalError."""
        where = request.match_info
        namespace, pod, name = where["namespace"], where["pod"], where["container"]
        worker = self._kubelet.worker(namespace, pod)
        if worker is None:
            raise NotFound("pod does not exist")
        spec = worker.pod.spec
        groups = (spec.containers, spec.init_containers, spec.ephemeral_containers)
        if not any(each.name == name for group in groups for each in group):
            raise NotFound(f"container {name} does not exist")
        timeouts = request.query.getall("timeout", [])
        if timeouts and not timeouts[-1].isdecimal():
            raise NotFound("cannot parse value of timeout parameter")
        run = worker.observer.runtime.latest(name)
        directory = self._kubelet.settings.root_dir / "checkpoints"
        directory.mkdir(mode=0o700, exist_ok=True)
        path = directory / f"checkpoint-{pod}_{namespace}-{name}-{rfc3339(self._clock.now())}.tar"
        try:
            if run is None or not run.running:
                raise RuntimeFailure(f"container {name} not found")
            await self._kubelet.cri.checkpoint_container(run.id, path, int(timeouts[-1]) if timeouts else 0)
        except RuntimeFailure as error:
            text = error.rpc_text if error.code != "UNKNOWN" else error.message
            raise InternalError(f"checkpointing of {namespace}/{pod}/{name} failed ({text})") from None
        return web.json_response({"items": [str(path)]})
