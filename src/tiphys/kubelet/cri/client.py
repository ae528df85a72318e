"""The calls of `runtime.v1` over the runtime's unix socket, and containerd's event stream on the same connection.

Every call raises `RuntimeFailure` with the runtime's own words; `NotFound` when the object is unknown to it.

Source: staging/src/k8s.io/cri-api/pkg/apis/services.go; containerd api/services/events/v1/events.proto.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # this process forks for CNI-free children only; no handlers

import grpc
import grpc.aio

from tiphys.api import protobuf
from tiphys.api.meta.schema import Struct, proto
from tiphys.kubelet.cri import containers as c
from tiphys.kubelet.cri import images as i
from tiphys.kubelet.cri import runtime as r
from tiphys.kubelet.cri import sandboxes as s
from tiphys.kubelet.cri import snapshots as n
from tiphys.kubelet.cri.common import ImageSpec, LinuxContainerResources, PodSandboxConfig

_RUNTIME = "/runtime.v1.RuntimeService/"
_IMAGES = "/runtime.v1.ImageService/"
_EVENTS = "/containerd.services.events.v1.Events/Subscribe"
_SNAPSHOTS = "/containerd.services.snapshots.v1.Snapshots/"
_CONTENT = "/containerd.services.content.v1.Content/"
_NAMESPACE = (("containerd-namespace", "k8s.io"),)
_MAX_MESSAGE_BYTES = 16 << 20

A = TypeVar("A", bound=Struct)


class RuntimeFailure(Exception):
    """The runtime refused or could not be reached. `str()` is its own message, as upstream shows it in events."""

    def __init__(self, message: str, code: str = "UNKNOWN") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        """The gRPC status name: `UNAVAILABLE`, `DEADLINE_EXCEEDED`, ..."""

    @property
    def rpc_text(self) -> str:
        """As Go prints a gRPC error: `rpc error: code = NotFound desc = ...`."""
        code = "".join(word.capitalize() for word in self.code.split("_"))
        return f"rpc error: code = {code} desc = {self.message}"


class NotFound(RuntimeFailure):
    """The runtime does not know the sandbox, container or image."""


class AnyMessage(Struct):
    """google.protobuf.Any."""

    type_url: Annotated[str, proto(1)] = ""
    value: Annotated[bytes, proto(2)] = b""


class Envelope(Struct):
    """One event of containerd; its timestamp is left out."""

    namespace: Annotated[str, proto(2)] = ""
    topic: Annotated[str, proto(3)] = ""
    event: Annotated[AnyMessage | None, proto(4)] = None


class SubscribeRequest(Struct):
    """Which events: containerd's filter expressions, any of which may match."""

    filters: Annotated[list[str], proto(1)] = []


class TaskEvent(Struct):
    """TaskExit, TaskStart and TaskOOM begin with the container's id; an exec's exit has an `exec_id` of its own."""

    container_id: Annotated[str, proto(1)] = ""
    exec_id: Annotated[str, proto(2)] = ""


class CriClient:
    """One connection to the runtime. Safe for many calls at a time on one event loop."""

    def __init__(
        self, socket: Path, timeout_s: float = 120.0, called: Callable[[str, float, bool], None] | None = None
    ) -> None:
        """`called(method, seconds, failed)` hears of every call that ended."""
        self._timeout_s = timeout_s
        self._called = called
        options = [
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.enable_http_proxy", 0),
        ]
        self._channel = grpc.aio.insecure_channel(f"unix:{socket}", options=options)
        self._stubs: dict[str, Any] = {}

    async def close(self) -> None:
        await self._channel.close()

    async def _call(self, method: str, request: Struct, answer: type[A], timeout_s: float | None = None) -> A:
        stub = self._stubs.get(method)
        if stub is None:
            stub = self._stubs[method] = self._channel.unary_unary(method)
        metadata = _NAMESPACE if method.startswith("/containerd.") else None
        begun, failed = time.monotonic(), True
        try:
            data = await stub(
                protobuf.encode(request, proto3=True), timeout=timeout_s or self._timeout_s, metadata=metadata
            )
            failed = False
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None
        finally:
            if self._called is not None:
                self._called(method, time.monotonic() - begun, failed)
        return protobuf.decode(answer, data)

    # --- the runtime -------------------------------------------------------------------------------------------

    async def version(self) -> r.VersionResponse:
        return await self._call(_RUNTIME + "Version", r.VersionRequest(), r.VersionResponse, 10)

    async def status(self) -> r.StatusResponse:
        return await self._call(_RUNTIME + "Status", r.StatusRequest(), r.StatusResponse, 10)

    # --- sandboxes ---------------------------------------------------------------------------------------------

    async def run_sandbox(self, config: PodSandboxConfig, handler: str = "") -> str:
        request = s.RunPodSandboxRequest(config=config, runtime_handler=handler)
        return (await self._call(_RUNTIME + "RunPodSandbox", request, s.RunPodSandboxResponse, 240)).pod_sandbox_id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        request = s.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
        await self._call(_RUNTIME + "StopPodSandbox", request, s.StopPodSandboxResponse)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        request = s.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
        await self._call(_RUNTIME + "RemovePodSandbox", request, s.RemovePodSandboxResponse)

    async def sandbox_status(self, sandbox_id: str) -> s.PodSandboxStatus:
        request = s.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id)
        answer = await self._call(_RUNTIME + "PodSandboxStatus", request, s.PodSandboxStatusResponse)
        return answer.status or s.PodSandboxStatus()

    async def list_sandboxes(self, labels: dict[str, str] | None = None) -> list[s.PodSandbox]:
        request = s.ListPodSandboxRequest(filter=s.PodSandboxFilter(label_selector=labels or {}))
        return (await self._call(_RUNTIME + "ListPodSandbox", request, s.ListPodSandboxResponse)).items

    async def port_forward(self, sandbox_id: str, ports: list[int]) -> str:
        """The URL of the runtime's stream server for this tunnel; good for one use, for a minute."""
        request = s.PortForwardRequest(pod_sandbox_id=sandbox_id, port=ports)
        return (await self._call(_RUNTIME + "PortForward", request, s.PortForwardResponse)).url

    # --- containers --------------------------------------------------------------------------------------------

    async def create_container(self, sandbox_id: str, config: c.ContainerConfig, sandbox: PodSandboxConfig) -> str:
        request = c.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox)
        return (await self._call(_RUNTIME + "CreateContainer", request, c.CreateContainerResponse)).container_id

    async def start_container(self, container_id: str) -> None:
        request = c.StartContainerRequest(container_id=container_id)
        await self._call(_RUNTIME + "StartContainer", request, c.StartContainerResponse)

    async def stop_container(self, container_id: str, grace_s: int) -> None:
        """The stop signal, then SIGKILL after `grace_s`. Returns when the container is gone."""
        request = c.StopContainerRequest(container_id=container_id, timeout=grace_s)
        await self._call(_RUNTIME + "StopContainer", request, c.StopContainerResponse, grace_s + 120)

    async def remove_container(self, container_id: str) -> None:
        request = c.RemoveContainerRequest(container_id=container_id)
        await self._call(_RUNTIME + "RemoveContainer", request, c.RemoveContainerResponse)

    async def list_containers(self, labels: dict[str, str] | None = None) -> list[c.Container]:
        request = c.ListContainersRequest(filter=c.ContainerFilter(label_selector=labels or {}))
        return (await self._call(_RUNTIME + "ListContainers", request, c.ListContainersResponse)).containers

    async def container_status(self, container_id: str) -> c.ContainerStatus:
        request = c.ContainerStatusRequest(container_id=container_id)
        answer = await self._call(_RUNTIME + "ContainerStatus", request, c.ContainerStatusResponse)
        return answer.status or c.ContainerStatus()

    async def update_resources(self, container_id: str, resources: LinuxContainerResources) -> None:
        request = c.UpdateContainerResourcesRequest(container_id=container_id, linux=resources)
        await self._call(_RUNTIME + "UpdateContainerResources", request, c.UpdateContainerResourcesResponse)

    async def checkpoint_container(self, container_id: str, location: Path, timeout_s: int) -> None:
        """Write a running container to an archive; 0 is the runtime's own time limit."""
        request = c.CheckpointContainerRequest(container_id=container_id, location=str(location), timeout=timeout_s)
        deadline = timeout_s + 10 if timeout_s else self._timeout_s
        await self._call(_RUNTIME + "CheckpointContainer", request, c.CheckpointContainerResponse, deadline)

    async def memory_usage(self, container_id: str) -> int:
        """Bytes in use; 0 where the runtime does not say."""
        request = c.ListContainerStatsRequest(filter=c.ContainerStatsFilter(id=container_id))
        answer = await self._call(_RUNTIME + "ListContainerStats", request, c.ListContainerStatsResponse)
        memory = answer.stats[0].memory if answer.stats else None
        used = (memory.usage_bytes or memory.working_set_bytes) if memory is not None else None
        return used.value if used is not None else 0

    async def reopen_log(self, container_id: str) -> None:
        request = c.ReopenContainerLogRequest(container_id=container_id)
        await self._call(_RUNTIME + "ReopenContainerLog", request, c.ReopenContainerLogResponse)

    async def stats(self, labels: dict[str, str] | None = None) -> list[c.ContainerStats]:
        request = c.ListContainerStatsRequest(filter=c.ContainerStatsFilter(label_selector=labels or {}))
        return (await self._call(_RUNTIME + "ListContainerStats", request, c.ListContainerStatsResponse)).stats

    async def exec_sync(self, container_id: str, command: list[str], timeout_s: int) -> c.ExecSyncResponse:
        """Run a command to its end; `timeout_s` 0 is forever, which the call's own deadline still bounds."""
        request = c.ExecSyncRequest(container_id=container_id, cmd=command, timeout=timeout_s)
        deadline = timeout_s + 10 if timeout_s else self._timeout_s
        return await self._call(_RUNTIME + "ExecSync", request, c.ExecSyncResponse, deadline)

    async def exec_url(self, request: c.ExecRequest) -> str:
        """The URL of the runtime's stream server for an exec; good for one use, for a minute."""
        return (await self._call(_RUNTIME + "Exec", request, c.ExecResponse)).url

    async def attach_url(self, request: c.AttachRequest) -> str:
        """The URL of the runtime's stream server for an attach; good for one use, for a minute."""
        return (await self._call(_RUNTIME + "Attach", request, c.AttachResponse)).url

    # --- images ------------------------------------------------------------------------------------------------

    async def list_images(self) -> list[i.Image]:
        return (await self._call(_IMAGES + "ListImages", i.ListImagesRequest(), i.ListImagesResponse)).images

    async def image_status(self, image: str) -> i.Image | None:
        request = i.ImageStatusRequest(image=ImageSpec(image=image))
        return (await self._call(_IMAGES + "ImageStatus", request, i.ImageStatusResponse)).image

    async def pull_image(self, image: str, auth: i.AuthConfig | None, sandbox: PodSandboxConfig | None) -> str:
        """The pulled image's reference. Bounded by an hour; the runtime gives up earlier without progress."""
        request = i.PullImageRequest(image=ImageSpec(image=image), auth=auth, sandbox_config=sandbox)
        return (await self._call(_IMAGES + "PullImage", request, i.PullImageResponse, 3600)).image_ref

    async def remove_image(self, image: str) -> None:
        request = i.RemoveImageRequest(image=ImageSpec(image=image))
        await self._call(_IMAGES + "RemoveImage", request, i.RemoveImageResponse)

    async def image_fs_info(self) -> i.ImageFsInfoResponse:
        return await self._call(_IMAGES + "ImageFsInfo", i.ImageFsInfoRequest(), i.ImageFsInfoResponse, 10)

    # --- layers ------------------------------------------------------------------------------------------------

    async def top_layer(self, image_id: str, snapshotter: str) -> str:
        """The snapshot with all layers of an image that is present. Raises RuntimeFailure where it is not unpacked."""
        answer = await self._call(_CONTENT + "Info", n.ContentInfoRequest(digest=image_id), n.ContentInfoAnswer)
        labels = answer.info.labels if answer.info is not None else {}
        found = labels.get(f"containerd.io/gc.ref.snapshot.{snapshotter}", "")
        if not found:
            raise RuntimeFailure(f"image {image_id} has no layers in {snapshotter}")
        return found

    async def view_layer(
        self, snapshotter: str, key: str, parent: str, labels: dict[str, str]
    ) -> list[n.SnapshotMount]:
        """How to mount a read-only view of `parent`; made under `key`, or found."""
        request = n.ViewRequest(snapshotter=snapshotter, key=key, parent=parent, labels=labels)
        try:
            return (await self._call(_SNAPSHOTS + "View", request, n.MountsAnswer)).mounts
        except RuntimeFailure as error:
            if error.code != "ALREADY_EXISTS":
                raise
        again = n.KeyRequest(snapshotter=snapshotter, key=key)
        return (await self._call(_SNAPSHOTS + "Mounts", again, n.MountsAnswer)).mounts

    async def remove_layer(self, snapshotter: str, key: str) -> None:
        """Raises NotFound."""
        await self._call(_SNAPSHOTS + "Remove", n.KeyRequest(snapshotter=snapshotter, key=key), n.Empty)

    # --- events ------------------------------------------------------------------------------------------------

    async def task_events(self) -> AsyncIterator[tuple[str, TaskEvent]]:
        """(topic, event) of container starts, exits and OOM kills, until the runtime goes away (RuntimeFailure).

        Exits of exec sessions are left out: their `exec_id` differs from the container's.
        """
        topics = ("/tasks/exit", "/tasks/oom", "/tasks/start")
        request = SubscribeRequest(filters=[f'topic=="{topic}"' for topic in topics])
        stream = self._channel.unary_stream(_EVENTS)(
            protobuf.encode(request, proto3=True), metadata=(("containerd-namespace", "k8s.io"),)
        )
        try:
            async for data in stream:
                envelope = protobuf.decode(Envelope, data)
                if envelope.namespace != "k8s.io" or envelope.event is None:
                    continue
                if envelope.topic == "/tasks/exit":
                    event = protobuf.decode(TaskEvent, envelope.event.value)
                    if event.exec_id not in ("", event.container_id):
                        continue
                else:  # field 2 is not a string in the other two
                    event = TaskEvent(container_id=protobuf.decode(_ContainerOnly, envelope.event.value).container_id)
                yield envelope.topic, event
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None
        finally:
            stream.cancel()


class _ContainerOnly(Struct):
    container_id: Annotated[str, proto(1)] = ""


def _failure(error: Any) -> RuntimeFailure:
    code = error.code()
    message = error.details() or code.name
    if code == grpc.StatusCode.NOT_FOUND:
        return NotFound(message, code.name)
    return RuntimeFailure(message, code.name)
