from __future__ import annotations

from typing import Any

from tiphys.api import codec
from tiphys.api.kinds import CUSTOMRESOURCEDEFINITION, VALIDATINGADMISSIONPOLICY
from tiphys.controllers import validatingadmissionpolicy_status
from tiphys.controllers._spec import Key

from .memory import Bench, writes

KEY = Key("", "p")
DEFINITION = {
    "metadata": {"name": "rocks.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"plural": "rocks", "singular": "rock", "kind": "Rock", "listKind": "RockList"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
                    }
                },
            }
        ],
    },
}


def rule(group: str, resource: str) -> dict[str, Any]:
    return {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]}


def bench(rules: list[dict[str, Any]], **spec: Any) -> Bench:
    b = Bench(validatingadmissionpolicy_status.SPEC)
    b.client.put(CUSTOMRESOURCEDEFINITION, codec.from_json(CUSTOMRESOURCEDEFINITION.schema, DEFINITION))
    given = {"metadata": {"name": "p", "generation": 1}, "spec": {"matchConstraints": {"resourceRules": rules}, **spec}}
    b.client.put(VALIDATINGADMISSIONPOLICY, codec.from_json(VALIDATINGADMISSIONPOLICY.schema, given))
    return b


async def warnings(b: Bench) -> dict[str, str]:
    await b.settle(KEY)
    (policy,) = b.client.all(VALIDATINGADMISSIONPOLICY)
    assert policy.status.observed_generation == policy.metadata.generation
    return {each.field_ref: each.warning for each in policy.status.type_checking.expression_warnings}


async def test_each_kind_that_is_matched_is_named_with_its_complaint() -> None:
    found = await warnings(
        bench(
            [rule("apps", "deployments"), rule("", "pods")],
            variables=[{"name": "r", "expression": "object.spec.replicas"}],
            validations=[
                {"expression": "object.spec.replicas > '1'"},
                {"expression": "variables.r > 1 && has(request.name)"},
                {"expression": "object.metadata.name != ''", "messageExpression": "object.metadata.name + 1"},
            ],
        )
    )
    assert found == {
        "spec.validations[0].expression": "/v1, Kind=Pod: ERROR: <input>:1:12: undefined field 'replicas'\n"
        " | object.spec.replicas > '1'\n | ...........^\n\n"
        "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to "
        "'(int, string)'\n | object.spec.replicas > '1'\n | .....................^\n",
        "spec.validations[2].messageExpression": "/v1, Kind=Pod: ERROR: <input>:1:22: found no matching overload for "
        "'_+_' applied to '(string, int)'\n | object.metadata.name + 1\n | .....................^\n\n"
        "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_+_' applied to "
        "'(string, int)'\n | object.metadata.name + 1\n | .....................^\n",
    }


async def test_custom_resources_and_parameters_have_types() -> None:
    found = await warnings(
        bench(
            [rule("example.com", "rocks")],
            paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
            validations=[
                {"expression": "object.spec.size > 1 && params.data['a'] == 'b'"},
                {"expression": "object.spec.weight > 1"},
                {"expression": "params.dat['a'] == 'b'"},
            ],
        )
    )
    assert set(found) == {"spec.validations[1].expression", "spec.validations[2].expression"}
    assert (
        "example.com/v1, Kind=Rock: ERROR: <input>:1:12: undefined field 'weight'"
        in found["spec.validations[1].expression"]
    )
    assert "undefined field 'dat'" in found["spec.validations[2].expression"]


async def test_a_resource_that_nobody_knows_is_not_checked() -> None:
    assert await warnings(bench([rule("x.io", "ys")], validations=[{"expression": "object.foo > 1"}])) == {}


async def test_a_checked_generation_is_left_alone() -> None:
    b = bench([rule("", "pods")], validations=[{"expression": "object.spec.nodeName != ''"}])
    await b.settle(KEY)
    assert not writes(await b.observed_plan(KEY))
    (policy,) = b.client.all(VALIDATINGADMISSIONPOLICY)
    policy.metadata.generation += 1
    b.client.put(VALIDATINGADMISSIONPOLICY, policy)
    assert writes(await b.observed_plan(KEY))
