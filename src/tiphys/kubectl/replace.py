"""`kubectl replace`: an object as the manifest has it, and nothing else."""

from __future__ import annotations

import time
from typing import Any

from tiphys.kubectl import output, selection, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.create import send
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE
from tiphys.kubectl.resources import Target
from tiphys.kubectl.session import ServerError

_POLL_S, _MOST_S = 0.2, 300.0


def run(context: Context) -> int:
    """PUT each object; the exit code is 1 when one was refused."""
    return selection.each(context, _replace)


def _replace(context: Context, target: Target, obj: dict[str, Any]) -> None:
    path = target.path(str(context.options["subresource"]))
    if context.options["force"]:
        _remove(context, target, path)
        send(context, obj, done="replaced")
        return
    after = obj
    if writing.dry_run(context) != "client":
        after = context.session.send("PUT", path, obj, writing.query(context))
    writing.tell(context, target, "replaced", after)


def _remove(context: Context, target: Target, path: str) -> None:
    """Delete, and wait until it is gone. Raises ServerError, UsageError."""
    options: dict[str, Any] = {"propagationPolicy": "Background"}
    if context.options["grace-period"] >= 0:
        options["gracePeriodSeconds"] = context.options["grace-period"]
    try:
        context.session.send("DELETE", path, options)
        where = f" from {target.namespace} namespace" if target.namespace else ""
        print(f'{target.type.qualified} "{target.name}" deleted{where}')
        deadline = time.monotonic() + _MOST_S
        while time.monotonic() < deadline:
            context.session.get(path)
            time.sleep(_POLL_S)
    except ServerError as error:
        if error.code == 404:
            return
        raise
    raise UsageError("timed out waiting for the condition")


COMMAND = Command(
    usage="-f FILE [--force]",
    help="Replace objects by what manifests say; --force deletes and creates them.",
    run=run,
    flags=(
        FILENAME,
        RECURSIVE,
        Flag("force", "delete the object first, and create it anew", kind="bool"),
        Flag("grace-period", "with --force: seconds that pods have to end (-1: what they say)", kind="int", default=-1),
        Flag("subresource", "replace only this: status or scale"),
        writing.DRY_RUN,
        writing.VALIDATE,
        writing.field_manager("kubectl-replace"),
        *output.FLAGS,
    ),
    examples="replace -f web.yaml\nreplace --force -f pod.yaml",
)
