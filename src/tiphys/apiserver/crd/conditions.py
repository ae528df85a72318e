"""What a definition's status says: names, establishment, structure, approval. Pure.

Source: apiextensions-apiserver/pkg/controller/{status,establish,nonstructuralschema,apiapproval,finalizer}.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tiphys.api.custom.definition import Definition
from tiphys.api.kinds.apiextensions.approval import approval_of, is_protected
from tiphys.api.kinds.apiextensions.customresourcedefinition import (
    CustomResourceDefinitionCondition,
    CustomResourceDefinitionNames,
    CustomResourceDefinitionStatus,
)

NAMES_ACCEPTED, ESTABLISHED, TERMINATING = "NamesAccepted", "Established", "Terminating"
NON_STRUCTURAL, APPROVAL = "NonStructuralSchema", "KubernetesAPIApprovalPolicyConformant"

Condition = CustomResourceDefinitionCondition
Names = CustomResourceDefinitionNames


class Taken(msgspec.Struct):
    """What the other definitions of a group are called."""

    resources: set[str] = msgspec.field(default_factory=set)
    kinds: set[str] = msgspec.field(default_factory=set)

    @classmethod
    def by(cls, accepted: Iterable[Names]) -> Taken:
        taken = cls()
        for names in accepted:
            taken.resources.update((names.plural, names.singular, *names.short_names))
            taken.kinds.update((names.kind, names.list_kind))
        taken.resources.discard("")
        taken.kinds.discard("")
        return taken


def accepted_names(definition: Definition, taken: Taken) -> tuple[Names, Condition]:
    """The names that the definition gets, and the condition that says whether these are all it asked for."""
    wanted, had = definition.spec.names, definition.status.accepted_names
    new = msgspec.structs.replace(had, categories=wanted.categories)
    reason, message = "", ""
    for field, used, why in (
        ("plural", taken.resources, "PluralConflict"),
        ("singular", taken.resources, "SingularConflict"),
        ("short_names", taken.resources, "ShortNamesConflict"),
        ("kind", taken.kinds, "KindConflict"),
        ("list_kind", taken.kinds, "ListKindConflict"),
    ):
        asked, before = getattr(wanted, field), getattr(had, field)
        conflicts = _conflicts(asked, before, used)
        if conflicts:
            reason, message = why, conflicts[0] if len(conflicts) == 1 else "[" + ", ".join(conflicts) + "]"
        else:
            setattr(new, field, asked)
    if reason:
        return new, Condition(type=NAMES_ACCEPTED, status="False", reason=reason, message=message)
    return new, Condition(type=NAMES_ACCEPTED, status="True", reason="NoConflicts", message="no conflicts found")


def _conflicts(asked: str | list[str], before: str | list[str], used: set[str]) -> list[str]:
    if asked == before:
        return []
    names = [asked] if isinstance(asked, str) else [name for name in asked if name not in before]
    return [f'"{name}" is already in use' for name in names if name in used]


def established(definition: Definition, names_accepted: bool) -> Condition:
    """Once established, always established."""
    for condition in definition.status.conditions:
        if condition.type == ESTABLISHED and condition.status == "True":
            return condition
    if not names_accepted:
        return Condition(type=ESTABLISHED, status="False", reason="NotAccepted", message="not all names are accepted")
    return Condition(
        type=ESTABLISHED, status="True", reason="InitialNamesAccepted",
        message="the initial names have been accepted",
    )  # fmt: skip


def non_structural(problems: list[str]) -> Condition | None:
    """None: every schema is structural, so the condition goes."""
    if not problems:
        return None
    message = problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]"
    return Condition(type=NON_STRUCTURAL, status="True", reason="Violations", message=message)


def approval(definition: Definition) -> Condition | None:
    """Whether a kind in a group of the project was approved; None for all other groups."""
    if not is_protected(definition.spec.group):
        return None
    state, why = approval_of(definition.metadata.annotations)
    status, reason = {
        "invalid": ("False", "InvalidAnnotation"),
        "missing": ("False", "MissingAnnotation"),
        "approved": ("True", "ApprovedAnnotation"),
        "bypassed": ("False", "UnapprovedAnnotation"),
    }[state]
    return Condition(type=APPROVAL, status=status, reason=reason, message=why)


def with_condition(status: CustomResourceDefinitionStatus, name: str, condition: Condition | None, now: str) -> None:
    """Put a condition into a status, in place; its time moves when its status does. None: the condition goes."""
    for index, known in enumerate(status.conditions):
        if known.type != name:
            continue
        if condition is None:
            del status.conditions[index]
        else:
            moved = known.status != condition.status or not known.last_transition_time
            time = now if moved else known.last_transition_time
            status.conditions[index] = msgspec.structs.replace(condition, last_transition_time=time)
        return
    if condition is not None:
        status.conditions.append(msgspec.structs.replace(condition, last_transition_time=now))


PENDING = Condition(
    type=TERMINATING, status="True", reason="InstanceDeletionPending",
    message="CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
)  # fmt: skip
IN_PROGRESS = Condition(
    type=TERMINATING, status="True", reason="InstanceDeletionInProgress",
    message="CustomResource deletion is in progress",
)  # fmt: skip
COMPLETED = Condition(
    type=TERMINATING, status="False", reason="InstanceDeletionCompleted", message="removed all instances"
)


def failed(why: str) -> Condition:
    return Condition(
        type=TERMINATING, status="True", reason="InstanceDeletionFailed", message=f"could not issue all deletes: {why}"
    )
