"""A pull that fails: what the container waits for, and when the next try is."""

from __future__ import annotations

import pytest

from tiphys.api.kinds.core.pod.containers import Container
from tiphys.kubelet.cri.client import RuntimeFailure
from tiphys.kubelet.images.puller import ImagePuller, ImageUnavailable
from tiphys.testing.clock import FakeClock

from .test_lifecycle import make_pod


class Runtime:
    """Has no image and gets none."""

    tries = 0

    async def image_status(self, _name: str) -> None:
        return None

    async def pull_image(self, *_arguments: object) -> str:
        self.tries += 1
        raise RuntimeFailure("no such host")


class Events:
    def event(self, *_arguments: object) -> None:
        """Not looked at here."""


async def test_between_tries_it_says_that_it_waits() -> None:
    clock, runtime = FakeClock(), Runtime()
    puller = ImagePuller(runtime, clock, Events(), 4)  # type: ignore[arg-type]  # doubles
    pod = make_pod()
    told: list[tuple[str, int]] = []
    elapsed_s = 0.0
    while elapsed_s < 75:
        with pytest.raises(ImageUnavailable) as caught:
            await puller.ensure(pod, Container(name="a", image="x:1"), (), None)
        told.append((caught.value.reason, int(elapsed_s)))
        await clock.advance(caught.value.retry_s)
        elapsed_s += caught.value.retry_s
    assert runtime.tries == 4
    # Tried at 0, 10, 30 and 70 s; what takes longer than a look is seen to wait.
    assert told == [
        ("ErrImagePull", 0),
        ("ErrImagePull", 10),
        ("ImagePullBackOff", 20),
        ("ErrImagePull", 30),
        ("ImagePullBackOff", 40),
        ("ErrImagePull", 70),
    ]
