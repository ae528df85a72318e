"""What holds for every kind, whatever it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tiphys.api import codec
from tiphys.api.errors import FieldError
from tiphys.api.kind import Kind
from tiphys.api.kinds import BODY_KINDS, KINDS, NODE, PREVIEW_KINDS, SECRET, STORED_KINDS
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.validation import validate_meta

_GOLDEN = Path(__file__).parents[5] / "shared" / "upstream" / "golden"
_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ALL = (*KINDS, *PREVIEW_KINDS, *BODY_KINDS)

every_kind = pytest.mark.parametrize("kind", ALL, ids=lambda kind: f"{kind.group or 'core'}.{kind.version}.{kind.kind}")


def _golden(kind: Kind[Any]) -> Resource:
    """Upstream's object of this kind with every field set to something."""
    path = _GOLDEN / f"{kind.group or 'core'}.{kind.version}.{kind.kind}.json"
    if not path.exists():
        pytest.skip(f"upstream's golden objects are not at {_GOLDEN}")
    obj: Resource = codec.decode(kind.schema, path.read_bytes())
    return obj


def _fresh(kind: Kind[Any]) -> Any:
    return kind.schema(kind=kind.kind, api_version=kind.api_version)


@every_kind
def test_defaulting_twice_changes_nothing_more(kind: Kind[Any]) -> None:
    for obj in (_fresh(kind), _golden(kind)):
        kind.default(obj)
        once = copy_of(obj)
        kind.default(obj)
        assert obj == once


@every_kind
def test_defaulting_keeps_what_was_said(kind: Kind[Any]) -> None:
    obj = _golden(kind)
    if kind is SECRET:
        obj.string_data = {}  # becomes data
    if kind is NODE:
        obj.spec.pod_cidrs = [obj.spec.pod_cidr]  # of two that differ, one counts
    before = codec.to_json(obj)
    kind.default(obj)
    after = codec.to_json(obj)
    # The field's old name says what the new one does.
    missing = [path for path in _lost(before, after) if not path.endswith(".serviceAccount")]
    assert missing == []


def _lost(before: Any, after: Any, path: str = "") -> list[str]:
    if isinstance(before, dict):
        return [p for key in before for p in _lost(before[key], after.get(key), f"{path}.{key}")]
    if isinstance(before, list):
        return [p for b, a in zip(before, after or [], strict=False) for p in _lost(b, a, f"{path}[]")]
    return [] if before == after else [path]


@every_kind
def test_round_trip(kind: Kind[Any]) -> None:
    obj = _golden(kind)
    path = _GOLDEN / f"{kind.group or 'core'}.{kind.version}.{kind.kind}.json"
    assert codec.to_json(obj) == json.loads(path.read_bytes())
    assert codec.decode(kind.schema, codec.encode(obj)) == obj


@every_kind
def test_columns_are_total(kind: Kind[Any]) -> None:
    for obj in (_fresh(kind), _golden(kind)):
        for column in kind.columns:
            cells = [column.cell(obj)]
            if column.cell_at is not None:
                cells.append(column.cell_at(obj, _NOW))
            for cell in cells:
                assert isinstance(cell, str | int)
                assert isinstance(cell, int) or column.type in ("string", "date", "timestamp", "boolean")


@every_kind
def test_field_selectors_are_total(kind: Kind[Any]) -> None:
    for obj in (_fresh(kind), _golden(kind)):
        for get in kind.fields.values():
            assert type(get(obj)) is str


@every_kind
def test_validation_answers_for_any_object(kind: Kind[Any]) -> None:
    """Before defaulting and after, alone and as an update, with every field absent and with every field strange."""
    for obj in (_fresh(kind), _golden(kind)):
        for _ in range(2):
            for old in (None, _fresh(kind), copy_of(obj)):
                found = [*kind.validate(obj, old), *kind.validate_status(obj, old)]
                assert all(isinstance(error, FieldError) and str(error) for error in found)
            kind.default(obj)


@every_kind
def test_preparing_reads_old_and_leaves_it_alone(kind: Kind[Any]) -> None:
    old = _golden(kind)
    kept = copy_of(old)
    for obj in (_fresh(kind), copy_of(old)):
        kind.prepare(obj, old)
        kind.default(obj)
        assert old == kept
    # What is stored has its defaults; a status may share the rest with it.
    kind.default(old)
    kept = copy_of(old)
    obj = _fresh(kind)
    kind.prepare_status(obj, old)
    kind.default(obj)
    assert old == kept


@pytest.mark.parametrize("kind", [k for k in KINDS if hasattr(k.schema(), "status") and k.stored], ids=lambda k: k.kind)
def test_only_the_status_path_writes_status(kind: Kind[Any]) -> None:
    old = _golden(kind)
    written = copy_of(old)
    written.status = _fresh(kind).status  # type: ignore[attr-defined]  # the kinds here have one
    kind.prepare(written, old)
    old_status: Any = old.status  # type: ignore[attr-defined]  # the kinds here have one
    if kind.kind != "Service":  # whose load balancer's state goes when the type does
        assert written.status == old_status  # type: ignore[attr-defined]  # the kinds here have one
    emptied = _fresh(kind)
    kind.prepare_status(emptied, old)
    assert emptied.spec == old.spec  # type: ignore[attr-defined]  # what has a status has a spec
    assert emptied.status != old_status


@pytest.mark.parametrize("kind", [k for k in KINDS if k.stored], ids=lambda k: f"{k.group or 'core'}.{k.kind}")
@pytest.mark.parametrize("attribute", ["name", "namespace", "uid", "creation_timestamp", "deletion_timestamp"])
def test_metadata_that_may_not_change(kind: Kind[Any], attribute: str) -> None:
    old = kind.schema().metadata
    old.name, old.namespace, old.uid = "a", "b" if kind.namespaced else "", "c"
    assert list(validate_meta(kind, old, old)) == []
    new = copy_of(old)
    setattr(new, attribute, "other")
    (error,) = validate_meta(kind, new, old)
    wire = msgspec.structs.fields(new)[[f.name for f in msgspec.structs.fields(new)].index(attribute)].encode_name
    assert str(error) == f'metadata.{wire}: Invalid value: "other": field is immutable'


def test_plurals_and_short_names_are_unique() -> None:
    paths = [(kind.group, kind.version, kind.plural) for kind in ALL]
    assert len(paths) == len(set(paths))
    core_short = [name for kind in STORED_KINDS for name in kind.short_names]
    assert len(core_short) == len(set(core_short))
