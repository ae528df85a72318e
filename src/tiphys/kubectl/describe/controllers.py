"""Replication controllers, daemon sets and stateful sets as `kubectl describe` shows them."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl.command import Context
from tiphys.kubectl.describe.workloads import conditions, head, pods_status, template
from tiphys.kubectl.describe.writer import Writer, selector_text, when


def replication_controller(out: Writer, obj: dict[str, Any], context: Context) -> None:
    """Everything but the events."""
    metadata, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
    selector = {"matchLabels": spec.get("selector") or {}}
    head(out, obj, selector)
    out.field(0, "Replicas", f"{status.get('replicas', 0)} current / {spec.get('replicas', 1)} desired")
    out.field(0, "Pods Status", pods_status(context, metadata, selector))
    template(out, spec.get("template") or {})
    conditions(out, status)


def daemon_set(out: Writer, obj: dict[str, Any], context: Context) -> None:
    """Everything but the events."""
    metadata, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
    head(out, obj, spec["selector"])
    for title, key in (
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ):
        out.line(0, f"{title}: {status.get(key, 0)}")
    out.field(0, "Pods Status", pods_status(context, metadata, spec["selector"]))
    template(out, spec["template"])


def stateful_set(out: Writer, obj: dict[str, Any], context: Context) -> None:
    """Everything but the events."""
    metadata, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
    out.field(0, "Name", metadata["name"])
    out.field(0, "Namespace", metadata["namespace"])
    out.field(0, "CreationTimestamp", when(metadata.get("creationTimestamp")))
    out.field(0, "Selector", selector_text(spec["selector"]))
    out.map(0, "Labels", metadata.get("labels"))
    out.annotations(0, metadata.get("annotations"))
    out.field(0, "Replicas", f"{spec.get('replicas', 1)} desired | {status.get('replicas', 0)} total")
    strategy = spec.get("updateStrategy") or {}
    out.field(0, "Update Strategy", strategy.get("type", ""))
    if rolling := strategy.get("rollingUpdate"):
        out.field(1, "Partition", rolling.get("partition", 0))
    out.field(0, "Pods Status", pods_status(context, metadata, spec["selector"]))
    template(out, spec["template"])
    _claims(out, spec.get("volumeClaimTemplates") or [])


def _claims(out: Writer, claims: list[dict[str, Any]]) -> None:
    if not claims:
        out.field(0, "Volume Claims", "<none>")
        return
    out.line(0, "Volume Claims:")
    for claim in claims:
        metadata, spec = claim["metadata"], claim["spec"]
        out.field(1, "Name", metadata["name"])
        out.field(1, "StorageClass", spec.get("storageClassName", ""))
        out.map(1, "Labels", metadata.get("labels"))
        out.annotations(1, metadata.get("annotations"))
        capacity = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "<default>")
        out.field(1, "Capacity", capacity)
        out.field(1, "Access Modes", f"[{' '.join(spec.get('accessModes') or ())}]")
