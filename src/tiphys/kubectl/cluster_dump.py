"""`kubectl cluster-info dump`: what a person needs who looks for a fault, all at once or as files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tiphys.kubectl.command import Context
from tiphys.kubectl.flags import UsageError
from tiphys.kubectl.session import ServerError

_LOG_BYTES_MAX = 16 << 20
_KINDS = (
    ("events", "/api/v1", "events"), ("replication-controllers", "/api/v1", "replicationcontrollers"),
    ("services", "/api/v1", "services"), ("daemonsets", "/apis/apps/v1", "daemonsets"),
    ("deployments", "/apis/apps/v1", "deployments"), ("replicasets", "/apis/apps/v1", "replicasets"),
    ("pods", "/api/v1", "pods"),
)  # fmt: skip


def dump(context: Context) -> int:
    """Nodes, then what each namespace has, then what its containers wrote."""
    session, options = context.session, context.options
    _write(context, "nodes.json", json.dumps(session.get("/api/v1/nodes"), indent=4) + "\n")
    namespaces = list(options["namespaces"]) or ["kube-system", context.namespace]
    if options["all-namespaces"]:
        namespaces = [item["metadata"]["name"] for item in session.get("/api/v1/namespaces").get("items") or ()]
    for namespace in dict.fromkeys(namespaces):
        found: dict[str, Any] = {}
        for file, base, plural in _KINDS:
            found[plural] = session.get(f"{base}/namespaces/{namespace}/{plural}")
            _write(context, f"{namespace}/{file}.json", json.dumps(found[plural], indent=4) + "\n")
        for pod in found["pods"].get("items") or ():
            _write(context, f"{namespace}/{pod['metadata']['name']}/logs.txt", _logs(context, pod))
    where = options["output-directory"]
    if where and where != "-":
        print(f"Cluster info dumped to {where}")
    return 0


def _logs(context: Context, pod: dict[str, Any]) -> str:
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    text = ""
    for container in pod["spec"].get("containers") or ():
        shown = f"logs for container {container['name']} of pod {namespace}/{name}"
        query = {"container": container["name"], "limitBytes": _LOG_BYTES_MAX}
        try:
            log = context.session.request("GET", f"/api/v1/namespaces/{namespace}/pods/{name}/log", query, accept="*/*")
            said = log.decode(errors="replace")
        except ServerError as error:
            said = f"Request log error: {error}\n"
        text += f"==== START {shown} ====\n{said}==== END {shown} ====\n"
    return text


def _write(context: Context, name: str, text: str) -> None:
    where = context.options["output-directory"]
    if not where or where == "-":
        sys.stdout.write(text)
        return
    path = Path(where) / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
