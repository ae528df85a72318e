"""Makes an image present for a container, as its pull policy says.

Source: pkg/kubelet/images/image_manager.go; event and waiting messages are upstream's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from tiphys.api.kinds.core.pod.containers import Container, EphemeralContainer
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.secret import Secret
from tiphys.base.clock import Clock
from tiphys.client.events import Recorder
from tiphys.kubelet.backoff import RestartBackoff
from tiphys.kubelet.cri.client import CriClient, RuntimeFailure
from tiphys.kubelet.cri.common import PodSandboxConfig
from tiphys.kubelet.cri.images import AuthConfig, Image
from tiphys.kubelet.eventrefs import container_reference
from tiphys.kubelet.images.names import InvalidReference, credentials, normalized

_log = logging.getLogger(__name__)

_LOOK_AGAIN_S = 10.0
"""How long after a failure its container is looked at again."""


class ImageUnavailable(Exception):
    """The container must wait. `reason` is the waiting reason: ErrImagePull, ImagePullBackOff, ..."""

    def __init__(self, reason: str, message: str, retry_s: float = 0.0) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message
        self.retry_s = retry_s
        """When it makes sense to ask again; 0: only when something changes."""


class ImagePuller:
    """One for the node: pulls of the same image wait for one another, back-off is by pod and image."""

    def __init__(self, cri: CriClient, clock: Clock, recorder: Recorder, parallel: int) -> None:
        """`parallel`: how many pulls at a time."""
        self._cri, self._clock, self._recorder = cri, clock, recorder
        self._backoff = RestartBackoff()
        self._last_error: dict[str, str] = {}
        self._pulls = asyncio.Semaphore(parallel)
        self._locks: dict[str, asyncio.Lock] = {}

    async def ensure(
        self,
        pod: Pod,
        container: Container | EphemeralContainer,
        secrets: Sequence[Secret],
        sandbox: PodSandboxConfig | None,
    ) -> Image:
        """The image, present now. Raises ImageUnavailable."""
        reference, shown = container_reference(pod, container), container.image
        try:
            name = normalized(shown)
        except InvalidReference as error:
            message = f'Failed to apply default image tag "{shown}": {error}'
            self._recorder.event(reference, "Warning", "InspectFailed", message)
            raise ImageUnavailable("InvalidImageName", message) from None
        if container.image_pull_policy != "Always":
            present = await self._present(pod, container, name)
            if present is not None:
                message = f'Container image "{shown}" already present on machine and can be accessed by the pod'
                self._recorder.event(reference, "Normal", "Pulled", message)
                return present
            if container.image_pull_policy == "Never":
                message = f'Container image "{shown}" is not present with pull policy of Never'
                self._recorder.event(reference, "Warning", "ErrImageNeverPull", message)
                raise ImageUnavailable("ErrImageNeverPull", message, _LOOK_AGAIN_S)
        return await self._pull(pod, container, name, secrets, sandbox)

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._backoff.forget(uid + "_")
        for key in [key for key in self._last_error if key.startswith(uid + "_")]:
            del self._last_error[key]

    async def _present(self, pod: Pod, container: Container | EphemeralContainer, name: str) -> Image | None:
        try:
            return await self._cri.image_status(name)
        except RuntimeFailure as error:
            message = f'Failed to inspect image "{name}": {error}'
            self._recorder.event(container_reference(pod, container), "Warning", "InspectFailed", message)
            raise ImageUnavailable("ImageInspectError", message, _LOOK_AGAIN_S) from None

    async def _pull(
        self,
        pod: Pod,
        container: Container | EphemeralContainer,
        name: str,
        secrets: Sequence[Secret],
        sandbox: PodSandboxConfig | None,
    ) -> Image:
        reference, shown = container_reference(pod, container), container.image
        key = f"{pod.metadata.uid}_{shown}"
        now = self._clock.monotonic()
        # Waiting counts from the last try, which is when the delay was last lengthened.
        wait_s = self._backoff.wait_since_update_s(key, now)
        if wait_s > 0:
            message = f'Back-off pulling image "{shown}"'
            self._recorder.event(reference, "Normal", "BackOff", message)
            if key in self._last_error:
                message += f": {self._last_error[key]}"
            raise ImageUnavailable("ImagePullBackOff", message, wait_s)
        self._recorder.event(reference, "Normal", "Pulling", f'Pulling image "{shown}"')
        started = self._clock.monotonic()
        try:
            async with self._locks.setdefault(name, asyncio.Lock()), self._pulls:
                begun = self._clock.monotonic()
                image_ref = await self._pull_with(name, credentials(name, secrets), sandbox)
        except RuntimeFailure as error:
            self._recorder.event(reference, "Warning", "Failed", f'Failed to pull image "{shown}": {error.rpc_text}')
            self._backoff.advance(key, self._clock.monotonic())
            self._last_error[key] = f"ErrImagePull: {error.rpc_text}"
            wait_s = self._backoff.wait_since_update_s(key, self._clock.monotonic())
            # The next look comes before the next try, and then says that it waits.
            raise ImageUnavailable("ErrImagePull", error.rpc_text, min(wait_s, _LOOK_AGAIN_S)) from None
        finally:
            lock = self._locks.get(name)
            if lock is not None and not lock.locked():
                del self._locks[name]
        image = await self._cri.image_status(image_ref)
        if image is None:
            raise ImageUnavailable("ErrImagePull", f'image "{shown}" vanished after it was pulled', _LOOK_AGAIN_S)
        ended = self._clock.monotonic()
        message = (
            f'Successfully pulled image "{shown}" in {_short(ended - begun)} '
            f"({_short(ended - started)} including waiting). Image size: {image.size} bytes."
        )
        self._recorder.event(reference, "Normal", "Pulled", message)
        self._last_error.pop(key, None)
        return image

    async def _pull_with(self, name: str, logins: Sequence[AuthConfig], sandbox: PodSandboxConfig | None) -> str:
        """Try each login, or none. Raises the last RuntimeFailure."""
        failure: RuntimeFailure | None = None
        choices: Sequence[AuthConfig | None] = logins or (None,)
        for login in choices:
            try:
                return await self._cri.pull_image(name, login, sandbox)
            except RuntimeFailure as error:
                failure = error
        raise failure or RuntimeFailure("no way to pull")


def _short(seconds: float) -> str:
    """Go's text of a duration in whole milliseconds: `12ms`, `1.234s`, `1m2.5s`."""
    whole_ms = int(seconds * 1000)
    if whole_ms < 1000:
        return f"{whole_ms}ms"
    minutes, rest_ms = divmod(whole_ms, 60_000)
    text = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{minutes}m{text}" if minutes else text
