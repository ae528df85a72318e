"""The embedded store's state machine, over etcd: whatever is done, etcd and a plain dictionary say the same."""

import pytest
from etcd_cluster import needs_etcd, run
from from_nothing import FromNothing
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.property.store.test_store_against_oracle import StoreMachine

from tiphys.store.etcd.store import EtcdStore

_state = {"cluster": None, "run": 0}


class EtcdMachine(StoreMachine):
    """Without what needs a clock of our own, or a snapshot that opens as a data directory."""

    forgets_its_compaction = True
    time_passes = None
    snapshot = None

    def run(self, coroutine):
        return run(coroutine)

    async def opened(self):
        inner = await EtcdStore.open(_state["cluster"].address)
        if hasattr(self, "opened_before"):
            return _LongLeases(inner, *self.opened_before)
        _state["run"] += 1
        made = await _LongLeases.over(inner, b"/oracle-%d" % _state["run"])
        self.opened_before = made.prefix, made.offset
        return made


class _LongLeases(FromNothing):
    async def grant(self, ttl_s):
        return await super().grant(3600)


@needs_etcd
@pytest.mark.parametrize("size", ["one_member", "three_members"])
def test_etcd_does_as_the_dictionary(request, size) -> None:
    _state["cluster"] = request.getfixturevalue(size)
    quick = settings(max_examples=8, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(EtcdMachine, settings=quick)
