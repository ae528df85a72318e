"""`kubectl rollout`: status, history, undo, restart, pause, resume of deployments."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

from tiphys.kubectl import output
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE, read
from tiphys.kubectl.resources import Target, fetch

REVISION = "deployment.kubernetes.io/revision"
CHANGE_CAUSE = "kubernetes.io/change-cause"
_STRATEGIC = "application/strategic-merge-patch+json"


def run(context: Context) -> int:
    """The first word is what to do, the rest which deployments."""
    if not context.words:
        raise UsageError("rollout needs one of: history, pause, restart, resume, status, undo")
    action, *words = context.words
    act = _ACTIONS.get(action)
    if act is None:
        raise UsageError(f'unknown command "{action}" for "rollout"')
    if context.options["filename"]:
        objects = read(context.options["filename"], recursive=context.options["recursive"])
        targets = [Target(context.resources.for_object(obj), obj["metadata"]["name"]) for obj in objects]
    else:
        kinds, targets = context.resources.targets(words)
        if kinds:
            targets = _selected(context, kinds[0])
    if not targets:
        raise UsageError("required resource not specified")
    return max(act(context, target) for target in targets)


def _selected(context: Context, kind: Any) -> list[Target]:
    listed = context.session.get(kind.path(context.namespace), {"labelSelector": context.options["selector"]})
    return [Target(kind, item["metadata"]["name"]) for item in listed.get("items") or ()]


def _deployment(context: Context, target: Target) -> dict[str, Any]:
    if target.type.kind != "Deployment":
        raise UsageError(f"no status viewer has been implemented for {target.type.kind}")
    return fetch(context.session, target, context.namespace)


def _status(context: Context, target: Target) -> int:
    """Tell how far the rollout is until it is done or has failed."""
    timeout_s = context.options["timeout"] or 7 * 24 * 3600
    deadline, told = time.monotonic() + timeout_s, ""
    path = target.type.path(context.namespace)
    query = {"fieldSelector": f"metadata.name={target.name}"}
    while True:
        obj = _deployment(context, target)
        text, done, failed = progress(obj)
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


def progress(obj: dict[str, Any]) -> tuple[str, bool, bool]:
    """(text, done, failed) of a deployment's rollout.

    Source: k8s.io/kubectl pkg/polymorphichelpers/rollout_status.go, for the words.
    """
    name, spec, status = obj["metadata"]["name"], obj["spec"], obj.get("status") or {}
    if status.get("observedGeneration", 0) < obj["metadata"].get("generation", 0):
        return "Waiting for deployment spec update to be observed...", False, False
    for condition in status.get("conditions") or ():
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return f'error: deployment "{name}" exceeded its progress deadline', False, True
    wanted, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
    head = f'Waiting for deployment "{name}" rollout to finish: '
    if updated < wanted:
        return f"{head}{updated} out of {wanted} new replicas have been updated...", False, False
    if status.get("replicas", 0) > updated:
        return f"{head}{status['replicas'] - updated} old replicas are pending termination...", False, False
    available = status.get("availableReplicas", 0)
    if available < updated:
        return f"{head}{available} of {updated} updated replicas are available...", False, False
    return f'deployment "{name}" successfully rolled out', True, False


def _revisions(context: Context, obj: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The deployment's replica sets by revision."""
    labels = obj["spec"]["selector"].get("matchLabels") or {}
    query = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())}
    listed = context.session.get(f"/apis/apps/v1/namespaces/{context.namespace}/replicasets", query)
    found = {}
    for item in listed.get("items") or ():
        owners = item["metadata"].get("ownerReferences") or ()
        if any(owner["uid"] == obj["metadata"]["uid"] for owner in owners):
            found[int((item["metadata"].get("annotations") or {}).get(REVISION, 0))] = item
    return found


def _history(context: Context, target: Target) -> int:
    obj = _deployment(context, target)
    revisions = _revisions(context, obj)
    chosen = context.options["revision"]
    if chosen:
        if chosen not in revisions:
            raise UsageError("unable to find the specified revision")
        print(f"{target.shown} with revision #{chosen}")
        print("Pod Template:")
        template = revisions[chosen]["spec"]["template"]
        for line in output.to_yaml(template).splitlines():
            print(f"  {line}")
        return 0
    print(target.shown)
    rows = [["REVISION", "CHANGE-CAUSE"]]
    for number in sorted(revisions):
        cause = (revisions[number]["metadata"].get("annotations") or {}).get(CHANGE_CAUSE, "<none>")
        rows.append([str(number), cause])
    output.print_rows(rows)
    print()
    return 0


def _undo(context: Context, target: Target) -> int:
    """Give the deployment the template of an earlier revision, as a user's edit would."""
    obj = _deployment(context, target)
    if obj["spec"].get("paused"):
        raise UsageError(
            'you cannot rollback a paused deployment; resume it first with "kubectl rollout resume" and try again'
        )
    revisions = _revisions(context, obj)
    current = int((obj["metadata"].get("annotations") or {}).get(REVISION, 0))
    wanted = context.options["to-revision"] or max((number for number in revisions if number != current), default=0)
    if not wanted:
        raise UsageError(f'no rollout history found for deployment "{target.name}"')
    if wanted not in revisions:
        raise UsageError("unable to find specified revision " + str(wanted) + " in history")
    if wanted == current:
        print(f"{target.shown} skipped rollback (current template already matches revision {wanted})")
        return 0
    template = revisions[wanted]["spec"]["template"]
    (template["metadata"].get("labels") or {}).pop("pod-template-hash", None)
    patch = [{"op": "replace", "path": "/spec/template", "value": template}]
    path = target.type.path(context.namespace, target.name)
    context.session.send(
        "PATCH", path, patch, {"fieldManager": "kubectl-rollout"}, content_type="application/json-patch+json"
    )
    print(f"{target.shown} rolled back")
    return 0


def _restart(context: Context, target: Target) -> int:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    annotations = {"kubectl.kubernetes.io/restartedAt": now}
    return _patch(context, target, {"spec": {"template": {"metadata": {"annotations": annotations}}}}, "restarted")


def _pause(context: Context, target: Target) -> int:
    if _deployment(context, target)["spec"].get("paused"):
        raise UsageError(f'{target.type.plural}.{target.type.group} "{target.name}" is already paused')
    return _patch(context, target, {"spec": {"paused": True}}, "paused")


def _resume(context: Context, target: Target) -> int:
    if not _deployment(context, target)["spec"].get("paused"):
        raise UsageError(f'{target.type.plural}.{target.type.group} "{target.name}" is not paused')
    return _patch(context, target, {"spec": {"paused": None}}, "resumed")


def _patch(context: Context, target: Target, patch: dict[str, Any], done: str) -> int:
    path = target.type.path(context.namespace, target.name)
    context.session.send("PATCH", path, patch, {"fieldManager": "kubectl-rollout"}, content_type=_STRATEGIC)
    print(f"{target.shown} {done}")
    return 0


_ACTIONS = {
    "status": _status, "history": _history, "undo": _undo, "restart": _restart, "pause": _pause, "resume": _resume,
}  # fmt: skip

COMMAND = Command(
    usage="(status|history|undo|restart|pause|resume) TYPE NAME",
    help="Follow, look back at, or steer the rollout of a deployment.",
    run=run,
    flags=(
        FILENAME,
        RECURSIVE,
        Flag("selector", "label selector", short="l"),
        Flag("watch", "status: go on until it is done", short="w", kind="bool", default=True),
        Flag("timeout", "status: give up after this time", kind="duration"),
        Flag("revision", "history: show this revision", kind="int"),
        Flag("to-revision", "undo: go back to this revision (0: the last one)", kind="int"),
    ),
    examples="""
rollout status deploy/web
rollout undo deploy/web --to-revision=2
rollout restart deploy web
""",
)
