"""Table headings and cells."""

from datetime import UTC, datetime

from tiphys.api import table
from tiphys.api.kind import Column, Kind, new
from tiphys.api.kinds.core.configmap import ConfigMap

_NOW = datetime(2026, 1, 1, 0, 5, 30, tzinfo=UTC)
_KIND = Kind("", "v1", "ConfigMap", "configmaps", ConfigMap)


def test_name_and_time_are_the_default() -> None:
    obj = new(_KIND, "a")
    assert table.cells(_KIND, obj, _NOW) == ["a", ""]
    obj.metadata.creation_timestamp = "2026-01-01T00:00:00Z"
    assert table.cells(_KIND, obj, _NOW) == ["a", "2026-01-01T00:00:00Z"]
    assert [(c["name"], c["type"], c["format"], c["priority"]) for c in table.columns(_KIND)] == [
        ("Name", "string", "name", 0),
        ("Created At", "date", "", 0),
    ]


def test_a_kinds_own_columns_are_used() -> None:
    columns: tuple[Column[ConfigMap], ...] = (
        Column("Data", "integer", lambda obj: len(obj.data), wide=True),
        Column("Year", "string", lambda _obj: "", cell_at=lambda _obj, now: str(now.year)),
    )
    kind = Kind("", "v1", "ConfigMap", "configmaps", ConfigMap, columns=columns)
    assert table.cells(kind, new(kind, "a", data={"k": "v"}), _NOW) == [1, "2026"]
    assert table.columns(kind)[0]["priority"] == 1
