"""Namespaces with their quotas and limits as `kubectl describe` shows them."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl.command import Context
from tiphys.kubectl.describe.writer import Writer

_LIMITS = ("min", "max", "defaultRequest", "default", "maxLimitRequestRatio")


def describe(out: Writer, obj: dict[str, Any], context: Context) -> None:
    """Everything but the events."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    out.field(0, "Name", metadata["name"])
    out.map(0, "Labels", metadata.get("labels"))
    out.annotations(0, metadata.get("annotations"))
    out.field(0, "Status", status.get("phase", ""))
    if status.get("conditions"):
        out.line(0, "Conditions:")
        head = ("type", "status", "lastTransitionTime", "reason", "message")
        rows = [[str(each.get(key, "")) for key in head] for each in status["conditions"]]
        out.table(1, [f"{key[:1].upper()}{key[1:]}" for key in head], rows)
    out.line(0, "")
    _quotas(out, _of(context, metadata["name"], "resourcequotas"))
    out.line(0, "")
    _limits(out, _of(context, metadata["name"], "limitranges"))


def _of(context: Context, namespace: str, plural: str) -> list[dict[str, Any]]:
    return list(context.session.get(f"/api/v1/namespaces/{namespace}/{plural}").get("items") or ())


def _quotas(out: Writer, quotas: list[dict[str, Any]]) -> None:
    if not quotas:
        out.line(0, "No resource quota.")
        return
    out.line(0, "Resource Quotas")
    for quota in quotas:
        out.field(1, "Name", quota["metadata"]["name"])
        hard, used = ((quota.get("status") or {}).get(key) or {} for key in ("hard", "used"))
        rows = [[name, used.get(name, "0"), hard[name]] for name in sorted(hard)]
        out.table(1, ["Resource", "Used", "Hard"], rows)


def _limits(out: Writer, ranges: list[dict[str, Any]]) -> None:
    if not ranges:
        out.line(0, "No LimitRange resource.")
        return
    out.line(0, "Resource Limits")
    rows = []
    for limit in (limit for each in ranges for limit in each["spec"].get("limits") or ()):
        names = sorted({name for key in _LIMITS for name in limit.get(key) or {}})
        rows += [[limit["type"], name, *((limit.get(key) or {}).get(name, "-") for key in _LIMITS)] for name in names]
    head = ["Type", "Resource", "Min", "Max", "Default Request", "Default Limit", "Max Limit/Request Ratio"]
    out.table(1, head, rows)
