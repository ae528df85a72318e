"""What a test cluster looks like, as text to read under a failed test: what changed, what was said, what was asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tiphys.testing.access import OWN_AGENT

if TYPE_CHECKING:
    from tiphys.testing.controlplane import TestControlPlane

OBJECTS, EVENTS, REQUESTS = 60, 30, 25
"""How many of each are shown at most, the latest of events and requests."""
_HIDDEN = {"Event", "Lease", "Endpoints", "EndpointSlice", "ControllerRevision", "IPAddress"}
_EVERYWHERE = {("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")}
_REPLICATED = {"Deployment", "ReplicaSet", "StatefulSet", "ReplicationController"}
_WIDTH = 160


def picture(plane: TestControlPlane) -> str:
    """Objects changed since the mark, nodes in trouble, the last events and requests."""
    changed = set(plane.journal.changed())
    objects: list[tuple[str, str, str, str]] = []
    events: list[dict[str, Any]] = []
    for kind in plane.server.served.all():
        if not kind.stored:
            continue
        cache = plane.server.registry.cache_of(kind)
        if cache.kind is not kind and cache.kind.group_resource != kind.group_resource:
            continue
        for entry in cache.entries():
            trouble = kind.kind == "Node"
            if entry.key not in changed and not trouble:
                continue
            changed.discard(entry.key)
            value: dict[str, Any] = msgspec.json.decode(entry.data)
            if kind.kind == "Event":
                events.append(value)
            elif kind.kind not in _HIDDEN and (kind.kind, entry.name) not in _EVERYWHERE:
                objects.append((kind.kind, entry.namespace, entry.name, state_of(kind.kind, value)))
    lines = [f"time: {plane.clock.now():%Y-%m-%d %H:%M:%S} UTC, {plane.clock.skipped_s:g} s of them skipped"]
    faults = plane.traffic.faults()
    lines += [f"fault: {msgspec.json.encode(fault).decode()}" for fault in faults]
    lines += _section("objects that the test changed, and nodes", _objects(objects), OBJECTS, last=False)
    lines += _section("events", _events(events), EVENTS)
    lines += _section("requests", _requests(plane), REQUESTS)
    return "\n".join(lines)


def state_of(kind: str, value: Mapping[str, Any]) -> str:
    """One line on how an object does: phase, replicas, conditions that do not hold, why it waits."""
    status, spec = value.get("status") or {}, value.get("spec") or {}
    words: list[str] = []
    if value["metadata"].get("deletionTimestamp"):
        finalizers = value["metadata"].get("finalizers")
        words.append(f"being deleted, waits for {', '.join(finalizers)}" if finalizers else "being deleted")
    phase = status.get("phase") if isinstance(status, dict) else None
    if phase and not (kind == "Namespace" and phase == "Active"):
        words.append(str(phase))
    if kind == "Pod" and spec.get("nodeName"):
        words.append(f"on {spec['nodeName']}")
    if kind in _REPLICATED and isinstance(spec.get("replicas"), int):
        words.append(f"{status.get('readyReplicas', 0)}/{spec['replicas']} ready")
    if kind == "Job":
        words.append(f"{status.get('succeeded', 0)} succeeded, {status.get('failed', 0)} failed")
    words += _conditions(status.get("conditions") if isinstance(status, dict) else None, kind)
    return "; ".join(words)


_GOOD_WHEN_FALSE = {"MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable", "ReplicaFailure", "Failed"}


def _conditions(conditions: object, kind: str) -> Iterable[str]:
    if not isinstance(conditions, list):
        return
    for condition in conditions:
        type_, stands = condition.get("type", ""), condition.get("status", "")
        expected = "False" if type_ in _GOOD_WHEN_FALSE else "True"
        if stands != expected and not (kind == "Namespace" and stands == "False"):
            why = ": ".join(part for part in (condition.get("reason"), condition.get("message")) if part)
            yield f"{type_}={stands}" + (f" ({why})" if why else "")
        elif type_ == "Failed" and stands == "True":
            yield f"Failed ({condition.get('reason', '')})"


def _objects(objects: list[tuple[str, str, str, str]]) -> list[str]:
    return [
        f"{kind} {f'{namespace}/' if namespace else ''}{name}" + (f": {state}" if state else "")
        for kind, namespace, name, state in sorted(objects)
    ]


def _events(events: list[dict[str, Any]]) -> list[str]:
    def when(event: dict[str, Any]) -> str:
        return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp"))

    lines = []
    for event in sorted(events, key=when):
        about = event.get("involvedObject", {})
        times = f" (x{event['count']})" if event.get("count", 1) > 1 else ""
        lines.append(
            f"{when(event)[11:19]} {event.get('type', '')} {event.get('reason', '')} "
            f"{about.get('kind', '')} {about.get('namespace', '')}/{about.get('name', '')}: "
            f"{event.get('message', '')}{times}"
        )
    return lines


def _requests(plane: TestControlPlane) -> list[str]:
    # What `until` asks again and again would push out all else.
    asked = [request for request in plane.traffic.requests if (request.agent, request.method) != (OWN_AGENT, "GET")]
    return [
        f"{request.time[11:23]} {request.status} {request.method} {request.path}"
        f"{'?' + request.query if request.query else ''} by {request.user or 'nobody'}, {request.duration_ms:g} ms"
        f"{' (injected)' if request.fault else ''}"
        for request in asked[-REQUESTS:]
    ]


def _section(title: str, lines: list[str], most: int, *, last: bool = True) -> list[str]:
    shown = lines[-most:] if last else lines[:most]
    more = f" ({len(shown)} of {len(lines)})" if len(shown) < len(lines) else ""
    body = [line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…" for line in shown]
    return [f"{title}{more}:", *(f"  {line}" for line in body or ["none"])]
