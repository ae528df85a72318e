"""From (namespace, pod, container) to the URL of the runtime's stream server that a tunnel connects to.

Source: pkg/kubelet/kubelet_pods.go (GetExec, GetAttach, GetPortForward), pkg/kubelet/server/server.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tiphys.api.errors import BadRequest, InternalError, NotFound
from tiphys.kubelet.cri.client import RuntimeFailure
from tiphys.kubelet.cri.containers import AttachRequest, ExecRequest
from tiphys.kubelet.state import ContainerRun
from tiphys.kubelet.worker import PodWorker

if TYPE_CHECKING:
    from tiphys.kubelet.kubelet import Kubelet


def worker_of(kubelet: Kubelet, namespace: str, pod: str, uid: str = "") -> PodWorker:
    """Raises NotFound; `uid` may pin the pod."""
    worker = kubelet.worker(namespace, pod)
    if worker is None or (uid and worker.pod.metadata.uid != uid):
        raise NotFound("pod does not exist")
    return worker


def running_container(worker: PodWorker, container: str) -> ContainerRun:
    """Raises NotFound, BadRequest."""
    run = worker.observer.runtime.latest(container)
    if run is None:
        raise NotFound(f'container not found ("{container}")')
    if not run.running:
        raise BadRequest(f"container {container} is not running")
    return run


async def exec_url(
    kubelet: Kubelet,
    worker: PodWorker,
    container: str,
    command: Sequence[str],
    *,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
) -> str:
    """Raises NotFound, BadRequest, InternalError. With a terminal there is no stderr of its own."""
    run = running_container(worker, container)
    request = ExecRequest(
        container_id=run.id, cmd=list(command), tty=tty, stdin=stdin, stdout=stdout, stderr=stderr and not tty
    )
    try:
        return await kubelet.cri.exec_url(request)
    except RuntimeFailure as error:
        raise InternalError(error.rpc_text) from None


async def attach_url(
    kubelet: Kubelet, worker: PodWorker, container: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool
) -> str:
    """Raises NotFound, BadRequest, InternalError."""
    run = running_container(worker, container)
    request = AttachRequest(container_id=run.id, stdin=stdin, stdout=stdout, stderr=stderr and not tty, tty=tty)
    try:
        return await kubelet.cri.attach_url(request)
    except RuntimeFailure as error:
        raise InternalError(error.rpc_text) from None


async def port_forward_url(kubelet: Kubelet, worker: PodWorker, ports: Sequence[int]) -> str:
    """Raises NotFound, InternalError."""
    sandbox = worker.observer.runtime.sandbox
    if sandbox is None or not sandbox.ready:
        raise NotFound("pod has no running sandbox")
    try:
        return await kubelet.cri.port_forward(sandbox.id, list(ports))
    except RuntimeFailure as error:
        raise InternalError(error.rpc_text) from None
