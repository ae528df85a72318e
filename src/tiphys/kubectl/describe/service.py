"""Services as `kubectl describe` shows them."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl.command import Context
from tiphys.kubectl.describe.writer import NONE, Writer


def describe(out: Writer, obj: dict[str, Any], context: Context) -> None:
    """Everything but the events."""
    metadata, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
    out.field(0, "Name", metadata["name"])
    out.field(0, "Namespace", metadata["namespace"])
    out.map(0, "Labels", metadata.get("labels"))
    out.annotations(0, metadata.get("annotations"))
    selector = ",".join(f"{key}={value}" for key, value in sorted((spec.get("selector") or {}).items()))
    out.field(0, "Selector", selector or NONE)
    out.field(0, "Type", spec.get("type", ""))
    for title, key in (("IP Family Policy", "ipFamilyPolicy"),):
        if spec.get(key):
            out.field(0, title, spec[key])
    out.field(0, "IP Families", ",".join(spec.get("ipFamilies") or ()) or NONE)
    out.field(0, "IP", spec.get("clusterIP", ""))
    out.field(0, "IPs", ",".join(spec.get("clusterIPs") or ()) or NONE)
    for title, value in (
        ("External IPs", ",".join(spec.get("externalIPs") or ())),
        ("External Name", spec.get("externalName")),
        ("LoadBalancer Ingress", _ingress(status)),
    ):
        if value:
            out.field(0, title, value)
    endpoints = _endpoints(context, metadata)
    for port in spec.get("ports") or ():
        name = port.get("name") or "<unset>"
        protocol = port.get("protocol", "TCP")
        out.field(0, "Port", f"{name}\t{port['port']}/{protocol}")
        out.field(0, "TargetPort", f"{port.get('targetPort', port['port'])}/{protocol}")
        if port.get("nodePort"):
            out.field(0, "NodePort", f"{name}\t{port['nodePort']}/{protocol}")
        out.field(0, "Endpoints", _shown(endpoints.get(port.get("name", ""), [])))
    out.field(0, "Session Affinity", spec.get("sessionAffinity", "None"))
    for title, key in (
        ("External Traffic Policy", "externalTrafficPolicy"),
        ("Internal Traffic Policy", "internalTrafficPolicy"),
    ):
        if spec.get(key):
            out.field(0, title, spec[key])


def _ingress(status: dict[str, Any]) -> str:
    points = (status.get("loadBalancer") or {}).get("ingress") or ()
    return ", ".join(point.get("ip") or point.get("hostname", "") for point in points)


def _endpoints(context: Context, metadata: dict[str, Any]) -> dict[str, list[str]]:
    """Ready addresses by port name, from the Service's endpoint slices."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{metadata['namespace']}/endpointslices"
    listed = context.session.get(path, {"labelSelector": f"kubernetes.io/service-name={metadata['name']}"})
    found: dict[str, list[str]] = {}
    for item in listed.get("items") or ():
        for port in item.get("ports") or ():
            for endpoint in item.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready", True):
                    texts = [f"{address}:{port.get('port')}" for address in endpoint["addresses"]]
                    found.setdefault(port.get("name") or "", []).extend(texts)
    return found


def _shown(addresses: list[str]) -> str:
    shown = ",".join(sorted(addresses)[:3])
    return f"{shown} + {len(addresses) - 3} more..." if len(addresses) > 3 else shown
