"""The downward API: fields and resources of the pod as text, for variables and files. Pure.

Source: pkg/fieldpath/fieldpath.go, pkg/api/v1/resource/helpers.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.references import ResourceFieldSelector
from tiphys.base.quantity import milli, value

_SUBSCRIPT = re.compile(r"^(metadata\.(?:labels|annotations))\['(.*)'\]$")


class UnknownField(Exception):
    """The path or resource is none that the downward API offers."""


def field_value(pod: Pod, path: str) -> str:
    """The text at `path`. Status fields are what `pod.status` says. Raises UnknownField."""
    meta = pod.metadata
    if (match := _SUBSCRIPT.match(path)) is not None:
        return (meta.labels if match[1] == "metadata.labels" else meta.annotations).get(match[2], "")
    simple = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.hostIP": pod.status.host_ip,
        "status.hostIPs": ",".join(entry.ip for entry in pod.status.host_ips),
        "status.podIP": pod.status.pod_ip,
        "status.podIPs": ",".join(entry.ip for entry in pod.status.pod_ips),
    }
    if path in simple:
        return simple[path]
    if path == "metadata.labels":
        return _map_text(meta.labels)
    if path == "metadata.annotations":
        return _map_text(meta.annotations)
    raise UnknownField(f"unsupported fieldPath: {path}")


def _map_text(pairs: Mapping[str, str]) -> str:
    """One `key="value"` per line, sorted, quoted as Go does."""
    return "\n".join(f"{key}={_go_quoted(pairs[key])}" for key in sorted(pairs))


def _go_quoted(text: str) -> str:
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\a": "\\a", "\b": "\\b", "\f": "\\f"}
    escapes["\v"] = "\\v"
    return '"' + "".join(escapes.get(c, c if c.isprintable() else _code_point(c)) for c in text) + '"'


def _code_point(char: str) -> str:
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def resource_value(
    pod: Pod, selector: ResourceFieldSelector, allocatable: Mapping[str, str], container: Container | None = None
) -> str:
    """A request or limit in units of the divisor, rounded up. A missing limit is what the node can give.

    `container`: the one that asks, when the selector names none. Raises UnknownField.
    """
    if selector.container_name:
        found = [c for c in [*pod.spec.containers, *pod.spec.init_containers] if c.name == selector.container_name]
        if not found:
            raise UnknownField(f"container {selector.container_name} not found")
        container = found[0]
    if container is None:
        raise UnknownField(f"container name is required for resource {selector.resource}")
    kind, _, name = selector.resource.partition(".")
    if kind not in ("limits", "requests") or not name:
        raise UnknownField(f"unsupported container resource : {selector.resource}")
    amounts = container.resources.limits if kind == "limits" else container.resources.requests
    amount = amounts.get(name)
    if amount is None and kind == "limits" and name in ("cpu", "memory", "ephemeral-storage"):
        amount = allocatable.get(name)  # type: ignore[assignment]  # both are quantity texts
    amount_text = str(amount or "0")
    divisor = str(selector.divisor or "1")
    if divisor == "0":
        divisor = "1"
    if name == "cpu":
        return str(-(-milli(amount_text) // milli(divisor)))
    return str(-(-value(amount_text) // value(divisor)))
