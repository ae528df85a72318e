"""`kubectl delete`."""

from __future__ import annotations

import sys
import time
from typing import Any

from tiphys.kubectl import selection, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE
from tiphys.kubectl.resources import Target
from tiphys.kubectl.session import ServerError

_POLICIES = {
    "true": "Background",
    "background": "Background",
    "foreground": "Foreground",
    "orphan": "Orphan",
    "false": "Orphan",
}


def run(context: Context) -> int:
    """Delete what the words, selectors or manifests name, then wait until it is gone."""
    options = _delete_options(context)
    mode = writing.dry_run(context)
    code = 0
    waiting: list[tuple[Target, str]] = []
    targets = selection.named(context)
    if context.options["interactive"] and targets and not _confirmed(targets):
        print("deletion is cancelled")
        return 0
    for target in targets:
        try:
            uid = "" if mode == "client" else _delete(context, target, options)
        except ServerError as error:
            if error.reason == "NotFound" and _may_be_missing(context):
                continue
            print(error.shown(), file=sys.stderr)
            code = 1
            continue
        _tell(context, target)
        waiting.append((target, uid))
    if not targets:
        print("No resources found", file=sys.stderr)
    if context.options["wait"] and mode == "none":
        _wait_gone(context, waiting)
    return code


def _delete(context: Context, target: Target, options: dict[str, Any]) -> str:
    """The uid of what is deleted. Raises ServerError."""
    dry = {"dryRun": "All"} if writing.dry_run(context) == "server" else {}
    answer = context.session.send("DELETE", target.path(), options, dry)
    return (answer.get("details") or {}).get("uid") or (answer.get("metadata") or {}).get("uid") or ""


def _may_be_missing(context: Context) -> bool:
    """What was found by a selector may go meanwhile; what was named has to be there."""
    given = context.options.given
    return bool(context.options["ignore-not-found"] or (context.options["all"] and "ignore-not-found" not in given))


def _confirmed(targets: list[Target]) -> bool:
    """The user says so."""
    print(f"You are about to delete the following {len(targets)} resource(s):")
    for target in targets:
        print(target.shown)
    print("Do you want to continue? (y/N): ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _delete_options(context: Context) -> dict[str, Any]:
    cascade = str(context.options["cascade"])
    if cascade not in _POLICIES:
        raise UsageError(f'invalid cascade value ({cascade}). Must be "background", "foreground", or "orphan"')
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": _POLICIES[cascade]}
    grace = int(context.options["grace-period"])
    if context.options["now"]:
        grace = 1
    if grace == 0 and not context.options["force"]:
        grace = 1
    if context.options["force"] and grace < 0:
        grace = 0
    if context.options["force"]:
        print(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. "
            "The resource may continue to run on the cluster indefinitely.",
            file=sys.stderr,
        )
    if grace >= 0:
        options["gracePeriodSeconds"] = grace
    return options


def _tell(context: Context, target: Target) -> None:
    if context.options["output"] == "name":
        print(target.shown)
        return
    how = "force deleted" if context.options["force"] else "deleted"
    where = f" from {target.namespace} namespace" if target.namespace else ""
    print(f'{target.type.qualified} "{target.name}" {how}{where}{writing.dry_run_suffix(context)}', flush=True)


def _wait_gone(context: Context, waiting: list[tuple[Target, str]]) -> None:
    """Until each object is gone or another of its name has come; bounded by --timeout (0: a week, as kubectl)."""
    deadline = time.monotonic() + (context.options["timeout"] or 7 * 24 * 3600)
    for target, uid in waiting:
        pause = 0.05
        while _there(context, target, uid):
            if time.monotonic() > deadline:
                raise UsageError(f"timed out waiting for the condition on {target.type.plural}/{target.name}")
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)


def _there(context: Context, target: Target, uid: str) -> bool:
    try:
        found = context.session.get(target.path())
    except ServerError as error:
        if error.reason == "NotFound":
            return False
        raise
    return not uid or found["metadata"].get("uid") == uid


COMMAND = Command(
    usage="([-f FILENAME] | TYPE [(NAME | -l label | --all)])",
    help="Delete objects by manifest, name, label or all of a kind, and wait until they are gone.",
    run=run,
    flags=(
        FILENAME,
        RECURSIVE,
        selection.ALL,
        selection.ALL_NAMESPACES,
        selection.SELECTOR,
        selection.FIELD_SELECTOR,
        Flag("interactive", "ask before anything is deleted", short="i", kind="bool"),
        Flag(
            "cascade",
            "background, foreground or orphan: what becomes of owned objects",
            default="background",
            bare="background",
        ),
        Flag("grace-period", "seconds that a pod gets to end (-1: its own)", kind="int", default=-1),
        Flag("force", "do not wait for the node (with --grace-period=0)", kind="bool"),
        Flag("now", "a grace period of one second", kind="bool"),
        Flag("wait", "wait until it is gone", kind="bool", default=True),
        Flag("timeout", "give up waiting after this time", kind="duration"),
        Flag("ignore-not-found", "what is not there is no error", kind="bool"),
        writing.DRY_RUN,
        Flag("output", "name", short="o"),
    ),
    examples="""
delete pod web-1
delete -f web.yaml
delete deploy,svc -l app=web
""",
)
