"""ValidatingAdmissionPolicy and MutatingAdmissionPolicy over real HTTPS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from api_harness import Response, RunningServer

GROUP = "/apis/admissionregistration.k8s.io/v1"
CONFIGMAPS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}
Policy = Callable[..., str]


@pytest.fixture
def policy(api: RunningServer, namespace: str) -> Iterator[Policy]:
    """`policy("Validating", "a", spec, binding)`: a policy for config maps of the test's namespace, in force."""
    made: list[str] = []

    def do(sort: str, name: str, spec: dict[str, Any], binding: dict[str, Any] | None = None, **rule: Any) -> str:
        full = f"{namespace}-{name}"
        plural = f"{sort.lower()}admissionpolicies"
        constraints = {
            "resourceRules": [CONFIGMAPS | rule],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        }
        body = {"metadata": {"name": full}, "spec": {"matchConstraints": constraints, **spec}}
        answer = api.request("POST", f"{GROUP}/{plural}", body)
        assert answer.status == 201, answer.body
        made.append(f"{GROUP}/{plural}/{full}")
        actions = {"validationActions": ["Deny"]} if sort == "Validating" else {}
        bound = {"metadata": {"name": full}, "spec": {"policyName": full, **actions, **(binding or {})}}
        answer = api.request("POST", f"{GROUP}/{sort.lower()}admissionpolicybindings", bound)
        assert answer.status == 201, answer.body
        made.append(f"{GROUP}/{sort.lower()}admissionpolicybindings/{full}")
        return full

    yield do
    for where in reversed(made):
        api.request("DELETE", where)


def create(api: RunningServer, namespace: str, name: str, data: dict[str, str] | None = None, **meta: Any) -> Response:
    body = {"metadata": {"name": name, **meta}, "data": data or {}}
    return api.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)


def test_a_request_that_fails_an_expression_is_refused(api: RunningServer, namespace: str, policy: Policy) -> None:
    full = policy("Validating", "size", {"validations": [{"expression": "size(object.data) < 2"}]})
    assert create(api, namespace, "small", {"a": "1"}).status == 201
    answer = create(api, namespace, "large", {"a": "1", "b": "2"})
    why = f"ValidatingAdmissionPolicy '{full}' with binding '{full}' denied request: failed expression: "
    why += "size(object.data) < 2"
    assert answer.status == 422
    assert answer.json["message"] == f'configmaps "large" is forbidden: {why}'
    assert answer.json["reason"] == "Invalid"
    assert answer.json["details"]["causes"] == [{"message": why}]


def test_messages_and_reasons(api: RunningServer, namespace: str, policy: Policy) -> None:
    validation = {
        "expression": "object.metadata.name != 'no'",
        "messageExpression": "'not ' + object.metadata.name",
        "message": "unused",
        "reason": "Forbidden",
    }
    policy("Validating", "name", {"validations": [validation]})
    answer = create(api, namespace, "no")
    assert (answer.status, answer.json["reason"]) == (403, "Forbidden")
    assert answer.json["message"].endswith("denied request: not no")


def test_a_message_expression_that_fails_leaves_the_message(api: RunningServer, namespace: str, policy: Policy) -> None:
    validation = {"expression": "false", "messageExpression": "object.nothing + ''", "message": "plainly no"}
    policy("Validating", "message", {"validations": [validation]})
    assert create(api, namespace, "a").json["message"].endswith("denied request: plainly no")


def test_variables_are_computed_from_variables(api: RunningServer, namespace: str, policy: Policy) -> None:
    variables = [
        {"name": "names", "expression": "object.data.map(k, k)"},
        {"name": "long", "expression": "variables.names.filter(n, n.size() > 3)"},
    ]
    policy(
        "Validating", "vars", {"variables": variables, "validations": [{"expression": "variables.long.size() == 0"}]}
    )
    assert create(api, namespace, "short", {"abc": ""}).status == 201
    assert create(api, namespace, "long", {"abcd": ""}).status == 422


def test_match_conditions_decide_whether_a_policy_applies(api: RunningServer, namespace: str, policy: Policy) -> None:
    conditions = [{"name": "only-a", "expression": "object.metadata.name == 'a'"}]
    policy("Validating", "cond", {"matchConditions": conditions, "validations": [{"expression": "false"}]})
    assert create(api, namespace, "b").status == 201
    assert create(api, namespace, "a").status == 422


@pytest.mark.parametrize(("failure_policy", "status"), [("Fail", 422), ("Ignore", 201)])
def test_failure_policy(api: RunningServer, namespace: str, policy: Policy, failure_policy: str, status: int) -> None:
    spec = {"failurePolicy": failure_policy, "validations": [{"expression": "object.data.missing == 'x'"}]}
    policy("Validating", "fails", spec)
    answer = create(api, namespace, "a", {"b": ""})
    assert answer.status == status
    if status == 422:
        text = "expression 'object.data.missing == 'x'' resulted in error: no such key: missing"
        assert answer.json["message"].endswith(f"denied request: {text}")


def test_warnings_and_audit(api: RunningServer, namespace: str, policy: Policy) -> None:
    full = policy("Validating", "warn", {"validations": [{"expression": "false", "message": "careful"}]},
                  {"validationActions": ["Warn", "Audit"]})  # fmt: skip
    answer = create(api, namespace, "a")
    assert answer.status == 201
    text = f"Validation failed for ValidatingAdmissionPolicy '{full}' with binding '{full}': careful"
    assert answer.headers["Warning"] == f'299 - "{text}"'


def test_what_policies_did_is_counted(api: RunningServer, namespace: str, policy: Policy) -> None:
    full = policy("Validating", "counted", {"validations": [{"expression": "object.metadata.name == 'good'"}]},
                  {"validationActions": ["Warn", "Audit"]})  # fmt: skip
    lenient = policy("Validating", "broken", {"failurePolicy": "Ignore", "validations": [{"expression": "1/0 == 1"}]})
    expression = "[JSONPatch{op: 'test', path: '/kind', value: 'ConfigMap'}]"
    mutation = {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}
    changing = policy("Mutating", "none", {"reinvocationPolicy": "Never", "mutations": [mutation]})
    assert create(api, namespace, "bad").status == 201
    page = api.request("GET", "/metrics").body.decode().splitlines()
    for kind, name, error, action in (
        ("validating", full, "invalid_error", "warn"),
        ("validating", full, "invalid_error", "audit"),
        ("validating", lenient, "invalid_error", "allow"),
        ("mutating", changing, "no_error", "allow"),
    ):
        labels = f'policy="{name}",policy_binding="{name}",error_type="{error}",enforcement_action="{action}"'
        found = [line for line in page if line.startswith(f"apiserver_{kind}_admission_policy_check_total{{{labels}}}")]
        assert found and float(found[0].rpartition(" ")[2]) >= 1, labels


def test_parameters_by_name_and_selector(api: RunningServer, namespace: str, policy: Policy) -> None:
    for name, most in (("p-two", "2"), ("p-one", "1")):
        assert create(api, namespace, name, {"max": most}, labels={"params": "yes"}).status == 201
    spec = {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "size(object.data) <= int(params.data.max)"}],
    }
    ref = {"parameterNotFoundAction": "Deny"}
    conditions = [{"name": "not-params", "expression": "!object.metadata.name.startsWith('p-')"}]
    policy("Validating", "named", spec | {"matchConditions": conditions}, {"paramRef": ref | {"name": "p-two"}})
    assert create(api, namespace, "two", {"a": "", "b": ""}).status == 201
    assert create(api, namespace, "three", {"a": "", "b": "", "c": ""}).status == 422
    selector = {"matchLabels": {"params": "yes"}}
    policy("Validating", "chosen", spec | {"matchConditions": conditions}, {"paramRef": ref | {"selector": selector}})
    assert create(api, namespace, "more", {"a": "", "b": ""}).status == 422


def test_parameters_that_are_missing(api: RunningServer, namespace: str, policy: Policy) -> None:
    spec = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "validations": [{"expression": "false"}]}
    ref = {"name": "nowhere", "parameterNotFoundAction": "Allow"}
    policy("Validating", "lenient", spec, {"paramRef": ref})
    assert create(api, namespace, "a").status == 201
    policy("Validating", "strict", spec, {"paramRef": ref | {"parameterNotFoundAction": "Deny"}})
    answer = create(api, namespace, "b")
    text = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    assert answer.json["message"].endswith(f"denied request: {text}")


def test_a_kind_of_parameters_that_nobody_serves(api: RunningServer, namespace: str, policy: Policy) -> None:
    spec = {"paramKind": {"apiVersion": "example.com/v1", "kind": "Limits"}, "validations": [{"expression": "true"}]}
    full = policy("Validating", "unknown", spec)
    text = "failed to configure policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Limits'"
    message = create(api, namespace, "a").json["message"]
    assert message.endswith(f"ValidatingAdmissionPolicy '{full}' denied request: {text}")


def test_the_authorizer_answers_for_the_requester(api: RunningServer, namespace: str, policy: Policy) -> None:
    checks = [
        "authorizer.group('').resource('secrets').namespace('default').check('get').allowed()",
        "authorizer.requestResource.check('delete').allowed()",
        "!authorizer.serviceAccount('default', 'nobody').path('/secret').check('get').allowed()",
    ]
    policy("Validating", "authz", {"validations": [{"expression": check} for check in checks]})
    assert create(api, namespace, "a").status == 201


def test_the_request_and_the_namespace_are_seen(api: RunningServer, namespace: str, policy: Policy) -> None:
    checks = [
        "request.operation == 'CREATE' && request.kind.kind == 'ConfigMap'",
        "request.resource.resource == 'configmaps'",
        f"namespaceObject.metadata.name == '{namespace}' && request.namespace == '{namespace}'",
        "has(namespaceObject.metadata.creationTimestamp) && namespaceObject.status.phase == 'Active'",
        "has(request.userInfo.username) && oldObject == null && !request.dryRun",
    ]
    policy("Validating", "seen", {"validations": [{"expression": check} for check in checks]})
    answer = create(api, namespace, "a")
    assert answer.status == 201, answer.body


def test_exclusions_and_names(api: RunningServer, namespace: str, policy: Policy) -> None:
    policy("Validating", "names", {"validations": [{"expression": "false"}]}, resourceNames=["only"])
    assert create(api, namespace, "other").status == 201
    assert create(api, namespace, "only").status == 422


def test_what_costs_too_much_is_refused(api: RunningServer, namespace: str, policy: Policy) -> None:
    items = "[" + ",".join(["0"] * 100) + "]"
    text = f"{items}.all(a, {items}.all(b, {items}.all(c, {items}.all(d, a + b + c + d == 0))))"
    policy("Validating", "dear", {"validations": [{"expression": text}]})
    started = time.monotonic()
    answer = create(api, namespace, "a")
    assert answer.json["message"].endswith("operation cancelled: actual cost limit exceeded")
    assert time.monotonic() - started < 10


def test_expressions_are_checked_when_stored(api: RunningServer, namespace: str) -> None:
    spec = {
        "matchConstraints": {"resourceRules": [CONFIGMAPS]},
        "validations": [{"expression": "object.x +"}, {"expression": "'text'"}, {"expression": "nothing"}],
    }
    body = {"metadata": {"name": f"{namespace}-bad"}, "spec": spec}
    answer = api.request("POST", f"{GROUP}/validatingadmissionpolicies", body)
    causes = [(cause["field"], cause["message"]) for cause in answer.json["details"]["causes"]]
    assert answer.status == 422
    assert [field for field, _ in causes] == [f"spec.validations[{index}].expression" for index in range(3)]
    assert "Invalid value: \"'text'\": must evaluate to bool but got string" in causes[1][1]
    assert "undeclared reference to 'nothing' (in container '')" in causes[2][1]


def test_an_apply_configuration_is_merged(api: RunningServer, namespace: str, policy: Policy) -> None:
    text = "Object{metadata: Object.metadata{labels: {'made': object.metadata.name}}, data: {'b': '2'}}"
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}
    policy("Mutating", "apply", {"reinvocationPolicy": "Never", "mutations": [mutation]})
    answer = create(api, namespace, "a", {"a": "1"}, labels={"own": "x"})
    assert answer.status == 201, answer.body
    assert answer.json["metadata"]["labels"] == {"own": "x", "made": "a"}
    assert answer.json["data"] == {"a": "1", "b": "2"}


def test_a_json_patch_is_applied_after_another_policy(api: RunningServer, namespace: str, policy: Policy) -> None:
    first = "[JSONPatch{op: 'add', path: '/data/first', value: 'yes'}]"
    second = (
        "has(object.data.first) ? [JSONPatch{op: 'add', value: 'z',"
        " path: '/metadata/annotations/' + jsonpatch.escapeKey('x/y')}] : []"
    )
    for name, text in (("one", first), ("two", second)):
        mutation = {"patchType": "JSONPatch", "jsonPatch": {"expression": text}}
        policy("Mutating", name, {"reinvocationPolicy": "Never", "mutations": [mutation]})
    made = create(api, namespace, "a", {"a": "1"}, annotations={"own": ""}).json
    assert made["data"] == {"a": "1", "first": "yes"}
    assert made["metadata"]["annotations"] == {"own": "", "x/y": "z"}


def test_a_policy_is_applied_again_where_it_asks_for_that(api: RunningServer, namespace: str, policy: Policy) -> None:
    again = "has(object.data.late) ? [JSONPatch{op: 'add', path: '/data/seen', value: 'late'}] : []"
    late = "[JSONPatch{op: 'add', path: '/data/late', value: 'yes'}]"
    for name, text, how in (("a", again, "IfNeeded"), ("b", late, "Never")):
        mutation = {"patchType": "JSONPatch", "jsonPatch": {"expression": text}}
        policy("Mutating", name, {"reinvocationPolicy": how, "mutations": [mutation]})
    assert create(api, namespace, "x", {"a": "1"}).json["data"] == {"a": "1", "late": "yes", "seen": "late"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Object{spec: Object.wrong{}}", 'type mismatch: unexpected type name "Object.wrong", expected "Object.spec"'),
        ("Object{data: {'a': object.data.missing}}", "resulted in error: no such key: missing"),
        ("Object{metadata: Object.metadata{ownerReferences: [{'a': 'b'}]}}", "error applying patch"),
    ],
)
def test_failed_mutation(api: RunningServer, namespace: str, policy: Policy, text: str, why: str) -> None:
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}
    full = policy("Mutating", "fails", {"reinvocationPolicy": "Never", "mutations": [mutation]})
    answer = create(api, namespace, "a", {"a": "1"})
    assert (answer.status, answer.json["reason"]) == (403, "Invalid")
    assert answer.json["message"].startswith(f"policy '{full}' with binding '{full}' denied request: ")
    assert why in answer.json["message"]


def test_custom_objects_are_seen_and_changed(api: RunningServer, namespace: str, policy: Policy) -> None:
    group = f"{namespace}.example.com"
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "size": {"type": "integer"}, "note": {"type": "string"}}}}}  # fmt: skip
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    body = {"metadata": {"name": f"things.{group}"}, "spec": spec}
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert api.request("POST", crds, body).status == 201
    where = f"/apis/{group}/v1/namespaces/{namespace}/things"
    deadline = time.monotonic() + 10
    while api.request("GET", where).status != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    rule = {"apiGroups": [group], "resources": ["things"]}
    policy("Validating", "thing", {"validations": [{"expression": "object.spec.size < 5"}]}, **rule)
    text = "Object{spec: Object.spec{note: 'for ' + object.metadata.name}}"
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}
    policy("Mutating", "thing", {"reinvocationPolicy": "Never", "mutations": [mutation]}, **rule)

    def thing(name: str, size: int) -> Response:
        stated = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": name}, "spec": {"size": size}}
        return api.request("POST", where, stated)

    assert thing("large", 5).status == 422
    made = thing("small", 4)
    assert made.status == 201, made.body
    assert made.json["spec"] == {"size": 4, "note": "for small"}
    api.request("DELETE", f"{crds}/things.{group}")
