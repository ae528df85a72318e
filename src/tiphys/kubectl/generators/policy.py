"""Quotas, disruption budgets and priority classes."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl.command import Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.generators.common import Generator, new, one_name, pairs, required


def _quota(context: Context, names: list[str]) -> dict[str, Any]:
    options, spec = context.options, {}
    if options["hard"]:
        spec["hard"] = pairs(options["hard"], "quota")
    if options["scopes"]:
        spec["scopes"] = options["scopes"]
    return new("v1", "ResourceQuota", one_name("quota", names), spec=spec)


def _disruption_budget(context: Context, names: list[str]) -> dict[str, Any]:
    options = context.options
    name = one_name("poddisruptionbudget", names)
    required(context, "selector")
    if bool(options["min-available"]) == bool(options["max-unavailable"]):
        raise UsageError("one of min-available or max-unavailable must be specified")
    labels = pairs(str(options["selector"]).split(","), "selector")
    spec: dict[str, Any] = {"selector": {"matchLabels": labels}}
    for flag, field in (("min-available", "minAvailable"), ("max-unavailable", "maxUnavailable")):
        if text := str(options[flag]):
            spec[field] = int(text) if text.isdigit() else text
    return new("policy/v1", "PodDisruptionBudget", name, spec=spec)


def _priority_class(context: Context, names: list[str]) -> dict[str, Any]:
    options = context.options
    return new(
        "scheduling.k8s.io/v1", "PriorityClass", one_name("priorityclass", names),
        value=options["value"], globalDefault=options["global-default"], description=options["description"],
        preemptionPolicy=options["preemption-policy"],
    )  # fmt: skip


GENERATORS: dict[str, Generator] = {
    "quota": _quota, "resourcequota": _quota, "poddisruptionbudget": _disruption_budget, "pdb": _disruption_budget,
    "priorityclass": _priority_class, "pc": _priority_class,
}  # fmt: skip
FLAGS = (
    Flag("hard", "quota: RESOURCE=AMOUNT,...", kind="list"),
    Flag("scopes", "quota: what pods it is about", kind="list"),
    Flag("selector", "poddisruptionbudget: labels of the pods"),
    Flag("min-available", "poddisruptionbudget: how many pods stay, a number or a percentage"),
    Flag("max-unavailable", "poddisruptionbudget: how many pods may be missing, a number or a percentage"),
    Flag("value", "priorityclass: the priority", kind="int"),
    Flag("global-default", "priorityclass: that of pods that name none", kind="bool"),
    Flag("description", "priorityclass: what it is for"),
    Flag("preemption-policy", "priorityclass: PreemptLowerPriority or Never", default="PreemptLowerPriority"),
)
