"""Entries: what is decoded, and how often."""

from __future__ import annotations

import pytest

from tiphys.api import codec
from tiphys.api.kind import new
from tiphys.api.kinds import CUSTOMRESOURCEDEFINITION
from tiphys.apiserver.cache.entry import Entry


def test_of_large_kinds_what_was_written_is_not_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is told of a new definition asks for its object; only a few are held."""
    decoded: list[bytes] = []
    plain = codec.decode
    monkeypatch.setattr(codec, "decode", lambda schema, data: decoded.append(data) or plain(schema, data))
    entries = []
    for number in range(6):
        obj = new(CUSTOMRESOURCEDEFINITION, f"d{number}")
        data = codec.encode(obj)
        entry = Entry(CUSTOMRESOURCEDEFINITION, b"k%d" % number, "", f"d{number}", number, data, obj)
        assert entry.obj is obj
        entries.append(entry)
    assert decoded == []
    assert entries[0].obj.metadata.name == "d0"
    assert len(decoded) == 1
