"""`kubectl delete`."""

from __future__ import annotations

import sys
import time
from typing import Any

from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE, namespace_of, read
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
    code = 0
    waiting: list[tuple[Target, str, str]] = []
    targets = _targets(context)
    for target, namespace in targets:
        try:
            answer = context.session.send("DELETE", target.type.path(namespace, target.name), options, _query(context))
        except ServerError as error:
            if error.reason == "NotFound" and context.options["ignore-not-found"]:
                continue
            print(error.shown(), file=sys.stderr)
            code = 1
            continue
        _tell(context, target, namespace)
        uid = (answer.get("details") or {}).get("uid") or (answer.get("metadata") or {}).get("uid") or ""
        waiting.append((target, namespace, uid))
    if not targets:
        print("No resources found", file=sys.stderr)
    if context.options["wait"] and context.options["dry-run"] == "none":
        _wait_gone(context, waiting)
    return code


def _targets(context: Context) -> list[tuple[Target, str]]:
    options = context.options
    if options["filename"]:
        found = []
        for obj in read(options["filename"], recursive=options["recursive"]):
            kind = context.resources.for_object(obj)
            namespace = namespace_of(obj, context.namespace, "namespace" in options.given) if kind.namespaced else ""
            found.append((Target(kind, obj["metadata"].get("name", "")), namespace))
        return found
    kinds, targets = context.resources.targets(context.words)
    if targets:
        return [(target, context.namespace if target.type.namespaced else "") for target in targets]
    if not kinds:
        raise UsageError("You must provide one or more resources by argument or filename")
    if not (options["all"] or options["selector"] or options["field-selector"]):
        raise UsageError("resource(s) were provided, but no name was specified")
    listed: list[tuple[Target, str]] = []
    for kind in kinds:
        scope = "" if options["all-namespaces"] or not kind.namespaced else context.namespace
        query = {"labelSelector": options["selector"], "fieldSelector": options["field-selector"]}
        for item in context.session.get(kind.path(scope), query).get("items") or ():
            listed.append((Target(kind, item["metadata"]["name"]), item["metadata"].get("namespace", "")))
    return listed


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


def _query(context: Context) -> dict[str, Any]:
    return {"dryRun": "All"} if context.options["dry-run"] == "server" else {}


def _tell(context: Context, target: Target, namespace: str) -> None:
    if context.options["output"] == "name":
        print(target.shown)
        return
    how = "force deleted" if context.options["force"] else "deleted"
    suffix = " (server dry run)" if context.options["dry-run"] == "server" else ""
    where = f" from {namespace} namespace" if namespace else ""
    print(f'{target.type.qualified} "{target.name}" {how}{where}{suffix}', flush=True)


def _wait_gone(context: Context, waiting: list[tuple[Target, str, str]]) -> None:
    """Until each object is gone or another of its name has come; bounded by --timeout (0: a week, as kubectl)."""
    deadline = time.monotonic() + (context.options["timeout"] or 7 * 24 * 3600)
    for target, namespace, uid in waiting:
        pause = 0.05
        while _there(context, target, namespace, uid):
            if time.monotonic() > deadline:
                raise UsageError(f"timed out waiting for the condition on {target.type.plural}/{target.name}")
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)


def _there(context: Context, target: Target, namespace: str, uid: str) -> bool:
    try:
        found = context.session.get(target.type.path(namespace, target.name))
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
        Flag("all", "all objects of the kinds in the namespace", kind="bool"),
        Flag("all-namespaces", "in every namespace", short="A", kind="bool"),
        Flag("selector", "label selector", short="l"),
        Flag("field-selector", "field selector"),
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
        Flag("dry-run", "none or server", default="none", bare="server"),
        Flag("output", "name", short="o"),
    ),
    examples="""
delete pod web-1
delete -f web.yaml
delete deploy,svc -l app=web
""",
)
