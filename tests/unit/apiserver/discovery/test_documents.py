"""Discovery of every kind, on by default or not, against upstream's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiphys.api.kinds import KINDS, PREVIEW_KINDS
from tiphys.apiserver.discovery import documents

_UPSTREAM = Path(__file__).parents[5] / "shared" / "upstream" / "discovery"
_GROUPS = documents.grouped((*KINDS, *PREVIEW_KINDS))
_VERSIONS = [(group, version) for group, versions in _GROUPS.items() for version in versions]


def _upstream(name: str) -> Any:
    file = _UPSTREAM / name
    if not file.exists():
        pytest.skip(f"upstream's discovery answers are not at {_UPSTREAM}")
    return json.loads(file.read_text())


@pytest.mark.parametrize(("group", "version"), _VERSIONS)
def test_resources_are_upstreams(group: str, version: str) -> None:
    known = _upstream(f"apis__{group}__{version}.json" if group else f"api__{version}.json")
    ours = documents.resource_list(f"{group}/{version}" if group else version, _GROUPS[group][version])
    by_name = {resource["name"]: resource for resource in ours["resources"]}
    assert by_name == {resource["name"]: resource for resource in known["resources"]}


def test_groups_and_their_versions_are_in_upstreams_order() -> None:
    assert documents.group_list(_GROUPS)["groups"] == _upstream("apis.json")["groups"]
