from __future__ import annotations

from typing import Any

import pytest

from tiphys.base.netlink import attributes
from tiphys.network import links

_NEWLINK, _IFLA_IFNAME, _HEADER_BYTES = 16, 3, 16


class Heard:
    """A kernel that has the bridge once it was asked for it."""

    def __init__(self) -> None:
        self.index, self.asked = 0, list[tuple[int, bool]]()

    def do(self, message: int, body: bytes, _flags: int = 0) -> None:
        if message == _NEWLINK:
            self.asked.append((int.from_bytes(body[4:8], "little"), _IFLA_IFNAME in attributes(body, _HEADER_BYTES)))
            self.index = 7


def test_a_bridge_that_is_up_is_never_named_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels before 6.2 refuse that: the device is busy."""
    kernel: Any = Heard()
    monkeypatch.setattr(links, "index_of", lambda _name: kernel.index)
    for _ in range(2):
        links.ensure_bridge(kernel, "tiphys0", ["10.244.0.1/24"], 1400)
    created, *others = kernel.asked
    assert created == (0, True)
    assert others and all(asked == (7, False) for asked in others)
