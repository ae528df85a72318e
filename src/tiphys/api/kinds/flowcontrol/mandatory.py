"""The flow schemas and priority levels that cannot be changed: without them some requests would have no place.

Source: staging/src/k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap/default.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from tiphys.api.errors import FieldError, invalid
from tiphys.api.kinds.flowcontrol import flowschema as f
from tiphys.api.kinds.flowcontrol import prioritylevelconfiguration as p

EVERYTHING = f.ResourcePolicyRule(verbs=["*"], api_groups=["*"], resources=["*"], namespaces=["*"], cluster_scope=True)
EVERY_PATH = f.NonResourcePolicyRule(verbs=["*"], non_resource_ur_ls=["*"])


def groups(*names: str) -> list[f.Subject]:
    return [f.Subject(kind="Group", group=f.GroupSubject(name=name)) for name in names]


def schema(
    level: str, precedence: int, method: str, subjects: list[f.Subject], resources: list[f.ResourcePolicyRule],
    paths: list[f.NonResourcePolicyRule],
) -> f.FlowSchemaSpec:  # fmt: skip
    """A spec with one rule; an empty `method` is none."""
    return f.FlowSchemaSpec(
        priority_level_configuration=f.PriorityLevelConfigurationReference(name=level),
        matching_precedence=precedence,
        distinguisher_method=f.FlowDistinguisherMethod(type=method) if method else None,
        rules=[f.PolicyRulesWithSubjects(subjects=subjects, resource_rules=resources, non_resource_rules=paths)],
    )


def flow_schemas() -> dict[str, f.FlowSchemaSpec]:
    return {
        "exempt": schema("exempt", 1, "", groups("system:masters"), [EVERYTHING], [EVERY_PATH]),
        "catch-all": schema(
            "catch-all", 10000, "ByUser", groups("system:unauthenticated", "system:authenticated"), [EVERYTHING],
            [EVERY_PATH],
        ),
    }  # fmt: skip


def priority_levels() -> dict[str, p.PriorityLevelConfigurationSpec]:
    return {
        "exempt": p.PriorityLevelConfigurationSpec(
            type="Exempt",
            exempt=p.ExemptPriorityLevelConfiguration(nominal_concurrency_shares=0, lendable_percent=0),
        ),
        "catch-all": p.PriorityLevelConfigurationSpec(
            type="Limited",
            limited=p.LimitedPriorityLevelConfiguration(
                nominal_concurrency_shares=5, lendable_percent=0, limit_response=p.LimitResponse(type="Reject")
            ),
        ),
    }


def flow_schema_spec(name: str) -> f.FlowSchemaSpec | None:
    return flow_schemas().get(name) if name in ("exempt", "catch-all") else None


def priority_level_errors(obj: Any) -> Iterator[FieldError]:
    """Of `exempt`, what concerns its share may be changed."""
    name, spec = obj.metadata.name, obj.spec
    fixed = priority_levels().get(name)
    if fixed is None:
        return
    if name == "exempt":
        if msgspec.structs.replace(spec, exempt=fixed.exempt) != fixed:
            why = f"spec of '{name}' except the 'spec.exempt' field must equal the fixed value"
            yield invalid("spec", spec, why)
    elif spec != fixed:
        yield invalid("spec", spec, f"spec of '{name}' must equal the fixed value")
