"""A registry over a real store, with a clock that stands still."""

import pytest

from tiphys.api.kind import new
from tiphys.api.kinds import NAMESPACE
from tiphys.apiserver.registry.interface import WriteOptions
from tiphys.apiserver.registry.registry import RegistrySettings, open_registry
from tiphys.apiserver.request import User
from tiphys.store.embedded.store import EmbeddedStore
from tiphys.testing.clock import FakeClock

OPTS = WriteOptions(User("admin"), field_manager="tests")


@pytest.fixture
def opts() -> WriteOptions:
    return OPTS


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path, clock):
    opened = await EmbeddedStore.open(tmp_path / "db", clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
async def registry(store, clock):
    made = await open_registry(store, clock, RegistrySettings(service_cidr="10.96.0.0/28", node_ports=(30000, 30009)))
    await made.create(NAMESPACE, "", new(NAMESPACE, "default"), OPTS)
    yield made
    await made.close()
