"""A CNI configuration of the user's own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from tiphys.api.kinds.core.node import NODE, Node, NodeSpec
from tiphys.api.meta.types import ObjectMeta
from tiphys.network.own_cni import OwnNetwork, configuration
from tiphys.testing.memory_api import MemoryApi


def test_the_subnet_is_filled_in_and_a_single_plugin_becomes_a_list() -> None:
    one = '{"cniVersion": "0.4.0", "name": "mine", "type": "bridge", "ipam": {"subnet": "${podCIDR}"}}'
    assert json.loads(configuration(one, "10.244.3.0/24")) == {
        "cniVersion": "0.4.0",
        "name": "mine",
        "plugins": [{"type": "bridge", "ipam": {"subnet": "10.244.3.0/24"}}],
    }
    listed = '{"cniVersion": "1.0.0", "name": "mine", "plugins": [{"type": "ptp"}, {"type": "portmap"}]}'
    assert json.loads(configuration(listed, "10.244.3.0/24")) == json.loads(listed)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x", "plugins": []}', '{"type": "bridge"}'])
def test_what_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        configuration(text, "10.244.3.0/24")


def test_it_is_handed_over_once_the_node_has_a_subnet(tmp_path: Path) -> None:
    source = tmp_path / "mine.conf"
    source.write_text('{"name": "mine", "type": "ptp", "ipam": {"subnet": "${podCIDR}"}}')

    async def story() -> None:
        api = MemoryApi()
        network = OwnNetwork(api, "node-1", "172.30.0.11", str(tmp_path / "cni"), source)  # type: ignore[arg-type]
        running = asyncio.create_task(network.run())
        api.put(NODE, Node(metadata=ObjectMeta(name="node-1")))
        await asyncio.sleep(0)
        assert not network.ready.is_set()
        api.put(NODE, Node(metadata=ObjectMeta(name="node-1"), spec=NodeSpec(pod_cidr="10.244.7.0/24")))
        await asyncio.wait_for(network.ready.wait(), 5)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(story())
    assert "10.244.7.0/24" in (tmp_path / "cni" / "10-tiphys.conflist").read_text()
