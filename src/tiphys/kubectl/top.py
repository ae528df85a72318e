"""`kubectl top`: what nodes and pods use, by the resource metrics API."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tiphys.base import quantity
from tiphys.kubectl import output, selection
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.session import ServerError

_BASE = "/apis/metrics.k8s.io/v1beta1"
_MI = 1 << 20
_UNKNOWN = "<unknown>"


def run(context: Context) -> int:
    """The first word says of what."""
    if not context.words:
        raise UsageError("top needs one of: node, pod")
    what, *names = context.words
    if what in ("node", "nodes", "no"):
        _nodes(context, names)
    elif what in ("pod", "pods", "po"):
        _pods(context, names)
    else:
        raise UsageError(f'unknown command "{what}" for "top"')
    return 0


def _metrics(context: Context, path: str, names: list[str]) -> list[dict[str, Any]]:
    query = {"labelSelector": context.options["selector"]}
    try:
        if names:
            return [context.session.get(f"{_BASE}{path}/{names[0]}")]
        return list(context.session.get(f"{_BASE}{path}", query).get("items") or ())
    except ServerError as error:
        if error.code == 503 or (error.code == 404 and not (error.status.get("details") or {}).get("name")):
            raise UsageError("Metrics API not available") from error
        raise


def _nodes(context: Context, names: list[str]) -> None:
    found = _metrics(context, "/nodes", names)
    room = {
        node["metadata"]["name"]: (node.get("status") or {}).get("allocatable") or {}
        for node in context.session.get("/api/v1/nodes").get("items") or ()
    }
    rows = []
    for item in _sorted(context, found):
        name = item["metadata"]["name"]
        cpu, memory = _amounts(item["usage"])
        of = room.get(name) or {}
        rows.append(
            (name, f"{cpu}m", _share(cpu, of.get("cpu"), 1000), f"{memory}Mi", _share(memory, of.get("memory"), _MI))
        )
    _print(context, ("NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"), rows)


def _share(used: int, of: str | None, unit: int) -> str:
    if of is None:
        return _UNKNOWN
    whole = quantity.parse(of)
    amount = whole * 1000 if unit == 1000 else whole / unit
    return f"{int(used * 100 / amount)}%" if amount else _UNKNOWN


def _pods(context: Context, names: list[str]) -> None:
    everywhere = context.options["all-namespaces"]
    if everywhere and names:
        raise UsageError("a resource cannot be retrieved by name across all namespaces")
    path = "/pods" if everywhere else f"/namespaces/{context.namespace}/pods"
    found = _metrics(context, path, names)
    if not found:
        where = "" if everywhere else f" in {context.namespace} namespace"
        raise UsageError(f"No resources found{where}.")
    rows = []
    for item in _sorted(context, found):
        head = ((item["metadata"]["namespace"],) if everywhere else ()) + (item["metadata"]["name"],)
        parts = [(*head, each["name"]) for each in item["containers"]] if context.options["containers"] else [head]
        usages = [each["usage"] for each in item["containers"]] if context.options["containers"] else [_total(item)]
        for part, usage in zip(parts, usages, strict=True):
            cpu, memory = _amounts(usage)
            rows.append((*part, f"{cpu}m", f"{memory}Mi"))
    first = (("NAMESPACE",) if everywhere else ()) + (("POD", "NAME") if context.options["containers"] else ("NAME",))
    _print(context, (*first, "CPU(cores)", "MEMORY(bytes)"), rows)


def _total(item: dict[str, Any]) -> dict[str, Any]:
    if "usage" in item:
        usage: dict[str, Any] = item["usage"]
        return usage
    usages = [each["usage"] for each in item["containers"]]
    return {
        name: str(float(sum(quantity.parse(usage.get(name, "0")) for usage in usages))) for name in ("cpu", "memory")
    }


def _amounts(usage: dict[str, Any]) -> tuple[int, int]:
    """(thousandths of a core, MiB)"""
    return math.ceil(quantity.parse(usage.get("cpu", "0")) * 1000), int(quantity.parse(usage.get("memory", "0")) / _MI)


def _sorted(context: Context, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by = context.options["sort-by"]
    if by not in ("", "cpu", "memory"):
        raise UsageError("--sort-by accepts only cpu or memory")
    if by:
        return sorted(items, key=lambda item: -quantity.parse(_total(item).get(by, "0")))
    return sorted(items, key=lambda item: (item["metadata"].get("namespace", ""), item["metadata"]["name"]))


def _print(context: Context, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    output.print_rows(rows if context.options["no-headers"] else [headings, *rows])


COMMAND = Command(
    usage="node [NAME] | pod [NAME] [-A] [--containers]",
    help="Show how much processor and memory nodes and pods use.",
    run=run,
    flags=(
        selection.ALL_NAMESPACES,
        selection.SELECTOR,
        Flag("containers", "each container", kind="bool"),
        Flag("sort-by", "cpu or memory"),
        Flag("no-headers", "no headings", kind="bool"),
    ),
    examples="top node\ntop pod -A --sort-by=memory",
)
