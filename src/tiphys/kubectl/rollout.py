"""`kubectl rollout`: status, history, undo, restart, pause, resume."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

from tiphys.kubectl import output, selection, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE
from tiphys.kubectl.resources import Target, fetch
from tiphys.kubectl.rollout_history import CHANGE_CAUSE, Revision, revisions, rollback
from tiphys.kubectl.rollout_status import progress

_STRATEGIC = "application/strategic-merge-patch+json"
_WITH_TEMPLATE = ("Deployment", "DaemonSet", "StatefulSet")


def run(context: Context) -> int:
    """The first word is what to do, the rest with which workloads."""
    if not context.words:
        raise UsageError("rollout needs one of: history, pause, restart, resume, status, undo")
    action, *words = context.words
    act = _ACTIONS.get(action)
    if act is None:
        raise UsageError(f'unknown command "{action}" for "rollout"')
    targets = selection.named(context, words) if words or context.options["filename"] else []
    if not targets:
        raise UsageError("required resource not specified")
    return max(act(context, target) for target in targets)


def _status(context: Context, target: Target) -> int:
    """Tell how far the rollout is until it is done or has failed."""
    timeout_s = context.options["timeout"] or 7 * 24 * 3600
    deadline, told = time.monotonic() + timeout_s, ""
    path = target.type.path(target.namespace)
    query = {"fieldSelector": f"metadata.name={target.name}"}
    while True:
        obj = fetch(context.session, target)
        text, done, failed = progress(obj, context.options["revision"])
        if text != told:
            print(text, file=sys.stderr if failed else sys.stdout, flush=True)
            told = text
        if done or failed or not context.options["watch"]:
            return 1 if failed else 0
        left = deadline - time.monotonic()
        if left <= 0:
            print("error: timed out waiting for the condition", file=sys.stderr)
            return 1
        following = {
            **query,
            "resourceVersion": obj["metadata"]["resourceVersion"],
            "timeoutSeconds": max(1, min(60, round(left))),
        }
        for _ in context.session.watch(path, following):
            break


def _history(context: Context, target: Target) -> int:
    _check(target, _WITH_TEMPLATE, "no history viewer has been implemented for")
    found = revisions(context, target, fetch(context.session, target))
    chosen = context.options["revision"]
    if chosen:
        if chosen not in found:
            raise UsageError("unable to find the specified revision")
        return _one(context, target, found[chosen])
    print(target.shown)
    rows = [["REVISION", "CHANGE-CAUSE"], *([str(number), found[number].cause] for number in sorted(found))]
    output.print_rows(rows)
    print()
    return 0


def _one(context: Context, target: Target, revision: Revision) -> int:
    from tiphys.kubectl.describe.workloads import template
    from tiphys.kubectl.describe.writer import Writer

    if context.options["output"]:
        output.show(context, [revision.obj], listed=False)
        return 0
    print(f"{target.shown} with revision #{revision.number}")
    out = Writer()
    template(out, revision.template)
    print(out.text())
    return 0


def _undo(context: Context, target: Target) -> int:
    """Give the workload the template of an earlier revision, as a user's edit would."""
    _check(target, _WITH_TEMPLATE, "no rollbacker has been implemented for")
    obj = fetch(context.session, target)
    if obj["spec"].get("paused"):
        raise UsageError(
            'you cannot rollback a paused deployment; resume it first with "kubectl rollout resume" and try again'
        )
    found = revisions(context, target, obj)
    wanted = context.options["to-revision"]
    if not wanted:
        if len(found) < 2:
            raise UsageError(f'no rollout history found for {target.type.singular} "{target.name}"')
        wanted = sorted(found)[-2]
    if wanted not in found:
        raise UsageError(f"unable to find specified revision {wanted} in history")
    if wanted == max(found):
        print(f"{target.shown} skipped rollback (current template already matches revision {wanted})")
        return 0
    media, patch = rollback(found[wanted])
    if writing.dry_run(context) != "client":
        context.session.send("PATCH", target.path(), patch, writing.query(context), content_type=media)
    writing.tell(context, target, "rolled back")
    return 0


def _restart(context: Context, target: Target) -> int:
    _check(target, _WITH_TEMPLATE, "restarting is not supported:")
    if fetch(context.session, target)["spec"].get("paused"):
        raise UsageError("can't restart paused deployment (run rollout resume first)")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    annotations = {"kubectl.kubernetes.io/restartedAt": now}
    return _patch(context, target, {"spec": {"template": {"metadata": {"annotations": annotations}}}}, "restarted")


def _pause(context: Context, target: Target) -> int:
    _check(target, ("Deployment",), "pausing is not supported:")
    if fetch(context.session, target)["spec"].get("paused"):
        raise UsageError(f'{target.type.plural}.{target.type.group} "{target.name}" is already paused')
    return _patch(context, target, {"spec": {"paused": True}}, "paused")


def _resume(context: Context, target: Target) -> int:
    _check(target, ("Deployment",), "resuming is not supported:")
    if not fetch(context.session, target)["spec"].get("paused"):
        raise UsageError(f'{target.type.plural}.{target.type.group} "{target.name}" is not paused')
    return _patch(context, target, {"spec": {"paused": None}}, "resumed")


def _check(target: Target, kinds: tuple[str, ...], refusal: str) -> None:
    if target.type.kind not in kinds:
        raise UsageError(f"{refusal} {target.type.qualified}")


def _patch(context: Context, target: Target, patch: dict[str, Any], done: str) -> int:
    context.session.send("PATCH", target.path(), patch, writing.query(context), content_type=_STRATEGIC)
    writing.tell(context, target, done)
    return 0


_ACTIONS = {
    "status": _status, "history": _history, "undo": _undo, "restart": _restart, "pause": _pause, "resume": _resume,
}  # fmt: skip

COMMAND = Command(
    usage="(status|history|undo|restart|pause|resume) TYPE NAME",
    help="Follow, look back at, or steer the rollout of a deployment, daemon set or stateful set.\n"
    f"The history shows what stands in the annotation {CHANGE_CAUSE}.",
    run=run,
    flags=(
        FILENAME,
        RECURSIVE,
        selection.SELECTOR,
        Flag("watch", "status: go on until it is done", short="w", kind="bool", default=True),
        Flag("timeout", "status: give up after this time", kind="duration"),
        Flag("revision", "history: show this revision; status: follow this one only", kind="int"),
        Flag("to-revision", "undo: go back to this revision (0: the last one)", kind="int"),
        writing.DRY_RUN,
        writing.field_manager("kubectl-rollout"),
        *output.FLAGS,
    ),
    examples="""
rollout status deploy/web
rollout undo deploy/web --to-revision=2
rollout restart daemonset/agent
""",
)
