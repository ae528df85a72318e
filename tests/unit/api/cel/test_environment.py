"""Values, budgets, limits and views: what `test_upstream` cannot show."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tiphys.api.cel import Budget, BudgetExceeded, CelError, CostExceeded, Environment, EvaluationError, types
from tiphys.api.cel.interface import AuthorizationAttributes, AuthorizationDecision
from tiphys.api.cel.library.authorizer import AUTHORIZER, AuthorizerValue
from tiphys.api.cel.schema import escape, maximum_count, minimum_size, schema_type
from tiphys.api.cel.struct_types import struct_type
from tiphys.api.custom.object import CustomObject
from tiphys.api.kind import new
from tiphys.api.kinds import DEPLOYMENT, POD, SECRET
from tiphys.api.kinds.core.pod.containers import Container

ENVIRONMENT = Environment({"object": types.DYN})


def value(expression: str, **bindings: Any) -> Any:
    return Environment(dict.fromkeys(bindings, types.DYN)).compile(expression).evaluate(bindings)


def test_structs_are_read_by_json_names_and_leave_out_what_json_would() -> None:
    pod = new(POD, "web", "default")
    pod.spec.containers = [Container(name="a", image="x:1")]
    pod.spec.node_name = "n1"
    assert value("object.metadata.name + object.spec.nodeName", object=pod) == "webn1"
    assert value("object.spec.containers.map(c, c.image)", object=pod) == ["x:1"]
    assert value("has(object.spec.hostNetwork) || has(object.metadata.labels)", object=pod) is False
    assert value("'spec' in object && object.spec.containers[0].name == 'a'", object=pod) is True


def test_bytes_of_structs_are_base64_text() -> None:
    secret = new(SECRET, "s", data={"key": b"abc"})
    assert value("object.data.key", object=secret) == "YWJj"


def test_custom_objects_are_read_in_place() -> None:
    content = {"spec": {"size": 3}}
    custom = CustomObject("Thing", "example.com/v1", content=content)
    custom.metadata.name = "x"
    assert value("object.spec.size == 3 && object.metadata.name == 'x' && object.kind == 'Thing'", object=custom)
    assert custom.content is content


def test_a_struct_equals_the_same_object_as_a_dict() -> None:
    one = new(DEPLOYMENT, "a", "b")
    one.metadata.labels = {"x": "y"}
    assert value("object.metadata == other", object=one, other={"name": "a", "namespace": "b", "labels": {"x": "y"}})


def test_a_variable_may_be_computed_when_first_read() -> None:
    calls: list[int] = []

    def late() -> int:
        calls.append(1)
        return 3

    environment = Environment({"late": types.INT, "other": types.BOOL})
    program = environment.compile("other || late + late > 5")
    assert program.evaluate({"late": late, "other": True}) is True
    assert not calls
    assert program.evaluate({"late": late, "other": False}) is True
    assert len(calls) == 1


def test_an_unbound_variable_is_an_error() -> None:
    with pytest.raises(EvaluationError, match=r"no such attribute\(s\): object"):
        ENVIRONMENT.compile("object.x").evaluate({})


def test_one_evaluation_has_a_limit_that_no_operator_swallows() -> None:
    program = ENVIRONMENT.compile("object.all(a, object.all(b, object.all(c, a + b + c >= 0))) || true")
    with pytest.raises(CostExceeded, match="operation cancelled: actual cost limit exceeded"):
        program.evaluate({"object": list(range(100))})


def test_a_budget_is_shared_and_once_spent_stays_so() -> None:
    program = ENVIRONMENT.compile("object.all(a, a >= 0)")
    budget = Budget(100)
    program.evaluate({"object": [1] * 10}, budget)
    assert 0 < budget.remaining < 100
    with pytest.raises(BudgetExceeded):
        program.evaluate({"object": [1] * 50}, budget)
    with pytest.raises(BudgetExceeded):
        ENVIRONMENT.compile("object == 1").evaluate({"object": 1}, budget)


@pytest.mark.parametrize("text", ["(" * 249 + "1" + ")" * 249, "[" * 249 + "1" + "]" * 249, "+".join(["1"] * 251)])
def test_deep_expressions_are_taken(text: str) -> None:
    program = ENVIRONMENT.compile(text)
    program.evaluate({})
    assert program.cost.max < 10**6


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(" * 250 + "1" + ")" * 250, "expression recursion limit exceeded: 250"),
        ("+".join(["1"] * 252), "max recursion depth exceeded"),
        ("object" + ".a" * 251, "max recursion depth exceeded"),
        ("'" + "a" * 100_000 + "'", "expression code point size exceeds limit: size: 100002, limit 100000"),
    ],
)
def test_deeper_and_longer_ones_are_not(text: str, why: str) -> None:
    with pytest.raises(CelError) as refused:
        ENVIRONMENT.compile(text)
    assert refused.value.issues == f"ERROR: <input>:-1:0: {why}"


def test_what_an_older_version_did_not_have_is_undeclared() -> None:
    old = Environment({}, version=(1, 29))
    with pytest.raises(CelError, match="undeclared reference to 'ip'"):
        old.compile("ip('1.2.3.4')")
    with pytest.raises(CelError, match="no matching overload for '_<_'"):
        Environment({}, version=(1, 27)).compile("1 < 2.0")
    assert Environment({}).compile("1 < 2.0").evaluate({}) is True


def test_results_must_have_a_wanted_type() -> None:
    with pytest.raises(CelError, match="must evaluate to bool but got dyn"):
        ENVIRONMENT.compile("object.x", types.BOOL)
    with pytest.raises(CelError, match=r"must evaluate to one of \[string null_type\] but got int"):
        ENVIRONMENT.compile("1", types.STRING, types.NULL)
    ENVIRONMENT.compile("null", types.STRING, types.NULL)


def test_the_authorizer_is_asked_what_the_expression_says() -> None:
    asked: list[AuthorizationAttributes] = []

    class Answers:
        def check(self, attributes: AuthorizationAttributes) -> AuthorizationDecision:
            asked.append(attributes)
            return AuthorizationDecision(attributes.verb == "get", "because", "")

    environment = Environment({"authorizer": AUTHORIZER})
    text = "authorizer.serviceAccount('ns', 'sa').group('apps').resource('deployments').namespace('x').name('y')"
    text += ".fieldSelector('a=b').check('get').allowed() && !authorizer.path('/x').check('put').allowed()"
    budget = Budget(10**6)
    assert environment.compile(text).evaluate({"authorizer": AuthorizerValue(Answers())}, budget) is True
    assert asked[0] == AuthorizationAttributes(
        "get", group="apps", resource="deployments", namespace="x", name="y", service_account=("ns", "sa"),
        field_selector="a=b",
    )  # fmt: skip
    assert asked[1] == AuthorizationAttributes("put", path="/x")
    assert 10**6 - budget.remaining >= 700_000


# -- schemas


def test_names_that_are_no_identifiers_are_escaped() -> None:
    names = {"a.b": "a__dot__b", "a-b": "a__dash__b", "a/b": "a__slash__b", "a__b": "a__underscores__b"}
    assert {name: escape(name) for name in names} == names
    assert escape("namespace") == "__namespace__"
    assert escape("1a") == escape("a b") == escape("") == ""


def test_sizes_bound_what_one_request_may_hold() -> None:
    schema = {"type": "object", "required": ["ab"], "properties": {"ab": {"type": "string"}, "c": {"type": "integer"}}}
    assert minimum_size(schema) == 2 + 2 + 2 + 4
    assert maximum_count(minimum_size(schema)) == 3 * 1024 * 1024 // 11


def test_a_schema_without_items_or_type_is_not_exposed() -> None:
    assert schema_type({"type": "array"}) is None
    assert schema_type({}) is None


def test_formats_are_converted_when_read() -> None:
    declared = schema_type(
        {
            "type": "object",
            "properties": {
                "at": {"type": "string", "format": "date-time"},
                "all": {"type": "array", "items": {"type": "string", "format": "date"}},
                "by": {"type": "object", "additionalProperties": {"type": "string", "format": "duration"}},
            },
        }
    )
    assert declared is not None
    environment = Environment({"self": declared})
    obj = {"at": "2020-01-01T00:00:00Z", "all": ["2020-02-01"], "by": {"a": "1h"}}
    assert environment.compile("self.at").evaluate({"self": obj}) == datetime(2020, 1, 1, tzinfo=UTC)
    assert environment.compile("self.all[0] > self.at && self.by.a == duration('60m')").evaluate({"self": obj}) is True
    assert environment.compile("dyn(self).all.map(d, d.getMonth())").evaluate({"self": obj}) == [1]


def test_sets_and_keyed_lists_merge() -> None:
    keyed = {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}}
    declared = schema_type(
        {
            "type": "object",
            "properties": {
                "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
                "map": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["k"],
                    "items": keyed,
                },
            },
        }
    )
    assert declared is not None
    environment = Environment({"self": declared, "old": declared})
    one = {"set": [1, 2], "map": [{"k": "a", "v": 1}, {"k": "b", "v": 2}]}
    two = {"set": [2, 1], "map": [{"k": "b", "v": 2}, {"k": "a", "v": 1}]}

    def holds(expression: str) -> Any:
        return environment.compile(expression).evaluate({"self": one, "old": two})

    assert holds("self.set == old.set && self.map == old.map && self == old")
    assert holds("(self.set + [2, 3]).size() == 3")
    assert holds("(self.map + old.map).size() == 2")
    assert not holds("self.set == [1, 3]")


def test_types_of_structs_know_their_fields() -> None:
    environment = Environment({"object": struct_type(DEPLOYMENT.schema)})
    assert environment.compile("object.spec.template.spec.containers[0].name").result_type == types.STRING
    assert environment.compile("object.metadata.creationTimestamp").result_type == types.TIMESTAMP
    with pytest.raises(CelError, match="undefined field 'replica'"):
        environment.compile("object.spec.replica == 1")
