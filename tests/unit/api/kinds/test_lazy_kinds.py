"""Kinds are loaded when they are named, and every name leads to a kind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tiphys.api import kinds
from tiphys.api.kind import Kind

_LISTS = {"KINDS", "PREVIEW_KINDS", "BODY_KINDS", "STORED_KINDS"}


@pytest.mark.parametrize("name", [name for name in kinds.__all__ if name not in _LISTS])
def test_every_name_is_a_kind_of_its_own(name: str) -> None:
    kind = getattr(kinds, name)
    assert isinstance(kind, Kind)
    assert kind in (*kinds.KINDS, *kinds.PREVIEW_KINDS, *kinds.BODY_KINDS)
    assert name.partition("_V")[0].endswith(kind.kind.upper())


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'NOTHING'"):
        kinds.NOTHING  # noqa: B018 - the look-up is what is tested


def test_each_stored_resource_is_there_once_in_the_version_that_is_stored() -> None:
    keys = [kind.storage_key for kind in kinds.STORED_KINDS]
    assert len(keys) == len(set(keys))
    assert kinds.HORIZONTALPODAUTOSCALER in kinds.STORED_KINDS
    assert kinds.HORIZONTALPODAUTOSCALER_V1 not in kinds.STORED_KINDS
    assert {kind.storage_key for kind in kinds.KINDS if kind.stored} == set(keys)


@pytest.mark.parametrize("kind", [kind for kind in (*kinds.KINDS, *kinds.PREVIEW_KINDS) if kind.stored_as], ids=repr)
def test_versions_share_storage(kind: Kind[object]) -> None:  # type: ignore[type-var]  # any kind
    stored = kind.stored_as
    assert stored is not None
    assert stored.storage_key == kind.storage_key
    assert stored.stored_as is None
    assert (kind.to_stored is None) == (kind.from_stored is None) == (kind.schema is stored.schema)


def test_who_knows_pods_alone_does_not_load_the_rest() -> None:
    code = "import sys; from tiphys.api.kinds import POD; print(*[m for m in sys.modules if '.api.kinds.' in m])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    groups = {module.split(".")[3] for module in loaded.split()}
    assert groups <= {"columns", "core"}
