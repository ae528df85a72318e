"""The options of a connection as an object: what admission sees of exec, attach, port-forward and proxy.

Source: staging/src/k8s.io/api/core/v1/types.go (PodExecOptions and its like).
"""

from __future__ import annotations

from typing import Any

from tiphys.apiserver.chain.requestinfo import is_true
from tiphys.apiserver.request import RequestInfo

_KINDS = {
    ("pods", "exec"): "PodExecOptions", ("pods", "attach"): "PodAttachOptions",
    ("pods", "portforward"): "PodPortForwardOptions", ("pods", "proxy"): "PodProxyOptions",
    ("services", "proxy"): "ServiceProxyOptions", ("nodes", "proxy"): "NodeProxyOptions",
}  # fmt: skip
_FLAGS = ("stdin", "stdout", "stderr", "tty")


def connect_options(info: RequestInfo) -> dict[str, Any]:
    """Plain JSON, with kind and apiVersion; what the request does not state is absent."""
    options: dict[str, Any] = {"kind": _KINDS[info.resource, info.subresource], "apiVersion": "v1"}
    query = info.query
    if info.subresource == "proxy":
        path = "/".join(info.rest)
        return {**options, "path": path} if path else options
    if info.subresource == "portforward":
        texts = [text for value in query.get("ports", ()) for text in value.split(",")]
        ports = [int(text) for text in texts if text.isdigit()]
        return {**options, "ports": ports} if ports else options
    options |= {flag: True for flag in _FLAGS if is_true(query.get(flag, ()))}
    container = query.get("container", ("",))[0]
    if container:
        options["container"] = container
    if info.subresource == "exec" and query.get("command"):
        options["command"] = list(query["command"])
    return options
