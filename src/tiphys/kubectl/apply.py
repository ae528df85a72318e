"""`kubectl apply`, always by server-side apply.

Without `--server-side` it wins over other managers' values, and keeps what was applied in an annotation, as the
client-side apply of other kubectls does; with it, conflicts are errors unless `--force-conflicts` is given, as there.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tiphys.kubectl import last_applied, output, selection, writing
from tiphys.kubectl.apply_set import ApplySet
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE
from tiphys.kubectl.resources import Target
from tiphys.kubectl.session import ServerError

_WORDS = {
    "edit-last-applied": last_applied.edit,
    "set-last-applied": last_applied.store,
    "view-last-applied": last_applied.view,
}


def run(context: Context) -> int:
    """Apply every object; the exit code is 1 when one was refused, after the others were tried."""
    if context.words:
        word, *rest = context.words
        if word not in _WORDS:
            raise UsageError(f"Unexpected args: [{' '.join(context.words)}]")
        return _WORDS[word](context, rest)
    if context.options["prune"] or context.options["applyset"]:
        return _as_set(context)
    return selection.each(context, _apply_one)


def _apply_one(context: Context, target: Target, obj: dict[str, Any]) -> None:
    _apply(context, target, obj)


def _as_set(context: Context) -> int:
    """All that the manifests have, and nothing else that was ever applied as part of the set."""
    if not context.options["applyset"] or not context.options["prune"]:
        raise UsageError("--prune and --applyset go together: the set remembers what there was")
    members = [(selection.placed(context, obj), obj) for obj in selection.manifests(context)]
    whole = ApplySet(context, str(context.options["applyset"]))
    whole.begin(members)
    code = 0
    for target, obj in members:
        try:
            whole.joined(_apply(context, target, obj)["metadata"].get("uid", ""))
        except ServerError as error:
            print(error.shown(), file=sys.stderr)
            code = 1
    return code or whole.prune()


def _apply(context: Context, target: Target, obj: dict[str, Any]) -> dict[str, Any]:
    """The object as it is then. Raises ServerError."""
    if not target.name:
        raise UsageError("resource name may not be empty")
    if writing.dry_run(context) == "client":
        writing.tell(context, target, "configured", obj)
        return obj
    before = _version(context, target)
    force = context.options["force-conflicts"] or not context.options["server-side"]
    query = {**writing.query(context), "force": force}
    body = json.dumps(obj if context.options["server-side"] else last_applied.remembering(obj)).encode()
    after: dict[str, Any] = context.session.send(
        "PATCH", target.path(), body, query, content_type="application/apply-patch+yaml"
    )
    if context.options["server-side"]:
        done = "serverside-applied"
    elif before is None:
        done = "created"
    else:
        done = "unchanged" if before == after["metadata"].get("resourceVersion") else "configured"
    writing.tell(context, target, done, after)
    return after


def _version(context: Context, target: Target) -> str | None:
    """The resourceVersion before the write; None where the object does not exist."""
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"
    try:
        found = context.session.get(target.path(), accept=accept)
    except ServerError as error:
        if error.reason == "NotFound":
            return None
        raise
    return str(found["metadata"]["resourceVersion"])


COMMAND = Command(
    usage="-f FILENAME | (view|set|edit)-last-applied (-f FILENAME | TYPE NAME)",
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
        Flag("prune", "with --applyset: delete what is no longer in the manifests", kind="bool"),
        Flag("applyset", "[TYPE/]NAME of the object that remembers what was applied"),
        Flag("create-annotation", "set-last-applied: also where there is none", kind="bool"),
        selection.ALL,
        selection.SELECTOR,
        *output.FLAGS,
    ),
    examples="""
apply -f web.yaml
cat web.yaml | tiphys kubectl apply -f -
apply -f manifests/ -R --dry-run=server
apply -f manifests/ --prune --applyset=web
apply view-last-applied deploy/web
""",
)
