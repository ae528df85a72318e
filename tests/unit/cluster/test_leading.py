"""Leadership that is lost and found again within one process."""

import asyncio
from typing import Any

from tiphys.client.leases import LeadershipLost
from tiphys.cluster.leading import leading
from tiphys.cluster.settings import ClusterSettings
from tiphys.store.etcd.address import EtcdAddress
from tiphys.testing.clock import FakeClock

SHARED = ClusterSettings(etcd=EtcdAddress(("https://127.0.0.1:1",)))


async def test_who_loses_the_lease_waits_for_it_again(monkeypatch, caplog) -> None:
    turns: list[str] = []

    class Elector:
        def __init__(self, *_args: Any, **_settings: Any) -> None:
            turns.append("elector")

        async def run(self, work: Any) -> None:
            await work()
            if turns.count("work") < 3:
                raise LeadershipLost("lease kube-system/x: a no longer leads")

    async def work() -> None:
        turns.append("work")

    monkeypatch.setattr("tiphys.cluster.leading.LeaderElector", Elector)
    await leading(SHARED, None, FakeClock(), "x", work)  # type: ignore[arg-type]
    assert turns == ["elector", "work", "work", "work"]
    assert caplog.text.count("its work is stopped until it leads again") == 2


async def test_alone_nothing_is_elected() -> None:
    worked = asyncio.Event()

    async def work() -> None:
        worked.set()

    await leading(ClusterSettings(), None, FakeClock(), "x", work)  # type: ignore[arg-type]
    assert worked.is_set()
