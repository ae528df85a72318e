"""Manifests as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.kubectl.flags import UsageError
from tiphys.kubectl.manifests import read

A, B = '{"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}}', "apiVersion: v1\nkind: B\nmetadata: {name: b}"


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (A, ["A"]),
        (A.replace(" ", "\n\t"), ["A"]),
        (f"\t{A}\n{A}", ["A", "A"]),
        (f"{A}\n---\n{B}", ["A", "B"]),
        (f'{{"apiVersion": "v1", "kind": "List", "items": [{A}, {A}]}}', ["A", "A"]),
        ("{apiVersion: v1, kind: A}", ["A"]),
        (f"---\n{B}\n---\n---\n{B}\n", ["B", "B"]),
    ],
)
def test_json_and_yaml(tmp_path: Path, text: str, kinds: list[str]) -> None:
    (tmp_path / "m").write_text(text)
    assert [obj["kind"] for obj in read([str(tmp_path / "m")])] == kinds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no objects passed"),
        ('{"kind": "A"}', "apiVersion not set"),
        ('{"apiVersion": "v1", "kind": "A", "kind": "B"}', 'key "kind" already set in map'),
        ("kind: A\nkind: B\n", "already set in map"),
        ("a:\n\t- b", "cannot start any token"),
        ("[1]", "an object was expected"),
    ],
)
def test_what_is_no_manifest(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "m").write_text(text)
    with pytest.raises(UsageError, match=said):
        read([str(tmp_path / "m")])
