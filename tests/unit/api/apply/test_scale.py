"""Owners of a count, seen from the scale."""

from __future__ import annotations

from typing import Any

from tiphys.api.apply.scale import of_object, of_scale
from tiphys.api.meta.schema import FieldsV1
from tiphys.api.meta.types import ManagedFieldsEntry

_T = "2026-01-01T00:00:00Z"
PATH = ("spec", "size")


def _entry(manager: str, fields: Any, version: str = "g/v1", operation: str = "Update") -> ManagedFieldsEntry:
    return ManagedFieldsEntry(
        manager=manager,
        operation=operation,
        api_version=version,
        time=_T,
        fields_type="FieldsV1",
        fields_v1=FieldsV1.of(fields),
    )


OBJECT = [
    _entry("a", {"f:spec": {"f:name": {}, "f:size": {}}}),
    _entry("b", {"f:spec": {"f:name": {}}}),
]


def test_only_owners_of_the_count_are_seen() -> None:
    assert of_scale(OBJECT, PATH, "g/v1") == [_entry("a", {"f:spec": {"f:replicas": {}}}, "autoscaling/v1")]


def test_who_lost_the_count_keeps_the_rest() -> None:
    scale = [_entry("c", {"f:spec": {"f:replicas": {}}}, "autoscaling/v1", "Apply")]
    assert of_object(OBJECT, scale, PATH, "g/v1") == [
        _entry("c", {"f:spec": {"f:size": {}}}, operation="Apply"),
        _entry("a", {"f:spec": {"f:name": {}}}),
        _entry("b", {"f:spec": {"f:name": {}}}),
    ]


def test_there_and_back_changes_nothing() -> None:
    assert of_object(OBJECT, of_scale(OBJECT, PATH, "g/v1"), PATH, "g/v1") == OBJECT
