"""What upstream's evaluator (cel-go with Kubernetes' libraries, v1.36) says of each expression: its type, value or
error, what it may cost and what it did cost.

`upstream.jsonl` holds plain expressions, `rules.jsonl` rules of custom resources with their schemas.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tiphys.api.cel import Budget, CelError, Environment, EvaluationError, types
from tiphys.api.cel.evaluate.access import is_list, is_map
from tiphys.api.cel.evaluate.shown import duration_text, kind_name, special_double, timestamp_text
from tiphys.api.cel.schema import schema_type
from tiphys.api.cel.types import Type
from tiphys.api.cel.values import Optional, Uint

HERE = Path(__file__).parent
OBJECT: dict[str, Any] = {"a": {"b": [1, 2, 3], "s": "hello", "m": {"k": "v"}}, "n": 5, "f": 1.5}
PLAIN = {"o": OBJECT, "l": [1, 2, 3], "s": "str", "i": 7}
TYPED = PLAIN | {"o": OBJECT | {"t": True, "e": [], "z": None}}
UNTYPED_ENVIRONMENT = Environment(dict.fromkeys(PLAIN, types.DYN))
TYPED_ENVIRONMENT = Environment({"o": types.DYN, "l": types.list_of(types.INT), "s": types.STRING, "i": types.INT})
PLENTY = 10**12


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / name).read_text().splitlines()]


def shown(value: Any) -> Any:
    """Scalars as JSON; the rest as `type:text`, in CEL's own notation."""
    if isinstance(value, str | bool) or type(value) is int:
        return value
    if type(value) is Uint:
        return f"{int(value)}u"
    if isinstance(value, float):
        return special_double(value) or {"double": value}
    return f"{kind_name(value)}:{notation(value)}"


def notation(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Uint):
        return f"{int(value)}u"
    if isinstance(value, float):
        return f"{value:.1f}" if value.is_integer() and math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return 'b"' + "".join(f"\\{byte:03o}" for byte in value) + '"'
    if isinstance(value, datetime):
        return f'timestamp("{timestamp_text(value.astimezone(UTC))}")'
    if isinstance(value, timedelta):
        return f'duration("{duration_text(value)}")'
    if isinstance(value, Optional):
        return f"optional.of({notation(value.value)})" if value.present else "optional.none()"
    if isinstance(value, Type):
        return value.name
    if is_list(value):
        return f"[{', '.join(notation(item) for item in value)}]"
    if is_map(value):
        entries = sorted((notation(key), notation(value[key])) for key in value)
        return "{" + ", ".join(f"{key}: {item}" for key, item in entries) + "}"
    return str(value)


@pytest.mark.parametrize("row", rows("upstream.jsonl"), ids=lambda row: row["expression"][:60])
def test_an_expression_is_what_upstream_says(row: dict[str, Any]) -> None:
    environment = TYPED_ENVIRONMENT if row["typed"] else UNTYPED_ENVIRONMENT
    if "issues" in row or "program" in row:
        with pytest.raises(CelError) as refused:
            environment.compile(row["expression"])
        if "issues" in row:
            assert refused.value.issues == row["issues"]
            assert refused.value.message == f"compilation failed: {row['issues']}"
        else:
            assert refused.value.message == f"program instantiation failed: {row['program']}"
        return
    program = environment.compile(row["expression"])
    assert str(program.result_type) == row["type"]
    assert list(program.cost) == row["estimate"]
    budget = Budget(PLENTY)
    bindings = TYPED if row["typed"] else PLAIN
    if "error" in row:
        with pytest.raises(EvaluationError) as failed:
            program.evaluate(bindings, budget)
        assert failed.value.message == row["error"]
    else:
        found = shown(program.evaluate(bindings, budget))
        if isinstance(row["value"], str) and row["value"].startswith(("kubernetes.", "net.", "map:")):
            assert str(found).partition(":")[0] == row["value"].partition(":")[0]
        else:
            assert found == row["value"]
    assert PLENTY - budget.remaining == row["cost"]


@pytest.mark.parametrize("row", rows("rules.jsonl"), ids=lambda row: row["rule"][:60])
def test_a_rule_of_a_schema_costs_and_says_what_upstream_says(row: dict[str, Any]) -> None:
    declared = schema_type({"type": "object", "properties": row["properties"]}, name="self")
    assert declared is not None
    environment = Environment({"self": declared, "oldSelf": declared})
    if row.get("error"):
        with pytest.raises(CelError):
            environment.compile(row["rule"], types.BOOL)
        return
    program = environment.compile(row["rule"], types.BOOL)
    assert program.cost.max == row["max"]
    budget = Budget(PLENTY)
    try:
        holds = program.evaluate({"self": row["object"], "oldSelf": row["old"]}, budget)
    except EvaluationError:
        holds = False
    assert holds is row["holds"]
    assert PLENTY - budget.remaining == row["spent"]
