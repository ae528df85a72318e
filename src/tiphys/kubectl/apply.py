"""`kubectl apply`, always by server-side apply.

Without `--server-side` it wins over other managers' values, as the client-side apply of other kubectls does; with it,
conflicts are errors unless `--force-conflicts` is given, as there.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tiphys.kubectl import output, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE, namespace_of, read
from tiphys.kubectl.resources import Target
from tiphys.kubectl.session import ServerError


def run(context: Context) -> int:
    """Apply every object; the exit code is 1 when one was refused, after the others were tried."""
    if context.words or not context.options["filename"]:
        raise UsageError("must specify -f, and no other words")
    code = 0
    for obj in read(context.options["filename"], recursive=context.options["recursive"]):
        try:
            _apply(context, obj)
        except ServerError as error:
            print(error.shown(), file=sys.stderr)
            code = 1
    return code


def _apply(context: Context, obj: dict[str, Any]) -> None:
    kind = context.resources.for_object(obj)
    name = obj["metadata"].get("name")
    if not name:
        raise UsageError("resource name may not be empty")
    namespace = namespace_of(obj, context.namespace, "namespace" in context.options.given) if kind.namespaced else ""
    if namespace:
        obj["metadata"]["namespace"] = namespace
    target = Target(kind, name)
    if writing.dry_run(context) == "client":
        writing.tell(context, target, "configured", obj)
        return
    before = _version(context, target, namespace)
    force = context.options["force-conflicts"] or not context.options["server-side"]
    query = {**writing.query(context), "force": force}
    body = json.dumps(obj).encode()
    path = kind.path(namespace, name)
    after = context.session.send("PATCH", path, body, query, content_type="application/apply-patch+yaml")
    if context.options["server-side"]:
        done = "serverside-applied"
    elif before is None:
        done = "created"
    else:
        done = "unchanged" if before == after["metadata"].get("resourceVersion") else "configured"
    writing.tell(context, target, done, after)


def _version(context: Context, target: Target, namespace: str) -> str | None:
    """The resourceVersion before the write; None where the object does not exist."""
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"
    try:
        found = context.session.get(target.type.path(namespace, target.name), accept=accept)
    except ServerError as error:
        if error.reason == "NotFound":
            return None
        raise
    return str(found["metadata"]["resourceVersion"])


COMMAND = Command(
    usage="-f FILENAME",
    help="Make the cluster hold what the manifests say: create what is missing, change what differs.",
    run=run,
    flags=(
        FILENAME,
        RECURSIVE,
        writing.DRY_RUN,
        writing.VALIDATE,
        writing.field_manager("kubectl"),
        Flag("server-side", "conflicts with other managers are errors", kind="bool"),
        Flag("force-conflicts", "take over fields of other managers", kind="bool"),
        output.OUTPUT,
        output.SHOW_MANAGED,
    ),
    examples="""
apply -f web.yaml
cat web.yaml | tiphys kubectl apply -f -
apply -f manifests/ -R --dry-run=server
""",
)
