"""`kubectl drain`: a node without pods, for maintenance.

Source: staging/src/k8s.io/kubectl/pkg/drain.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from tiphys.kubectl import writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.cordon import SELECTOR, nodes, set_unschedulable
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.resources import Target
from tiphys.kubectl.session import ServerError

Pod = dict[str, Any]
_MIRROR = "kubernetes.io/config.mirror"
_RETRY_S, _POLL_S = 5.0, 1.0
_DAEMONS = "DaemonSet-managed Pods"
_UNMANAGED = "Pods that declare no controller"
_LOCAL = "Pods with local storage"
_HINTS = {
    _UNMANAGED: "use --force to override", _DAEMONS: "use --ignore-daemonsets to ignore",
    _LOCAL: "use --delete-emptydir-data to override",
}  # fmt: skip


def run(context: Context) -> int:
    """Cordon each node and evict its pods; the exit code is 1 when one keeps some."""
    targets = nodes(context)
    for target in targets:
        set_unschedulable(context, target, True)
    failed: list[tuple[str, str]] = []
    for target in targets:
        try:
            _drain(context, target)
        except (UsageError, ServerError) as error:
            text = str(error)
            print(
                f'error: unable to drain node "{target.name}" due to error: {text}, continuing command...',
                file=sys.stderr,
            )
            failed.append((target.name, text))
            continue
        writing.tell(context, target, "drained")
    if failed:
        names = "\n ".join(name for name, _ in failed)
        print(f"There are pending nodes to be drained:\n {names}\n{failed[-1][1]}", file=sys.stderr)
    return 1 if failed else 0


def _drain(context: Context, target: Target) -> None:
    query = {"fieldSelector": f"spec.nodeName={target.name}", "labelSelector": context.options["pod-selector"]}
    pods = context.session.get("/api/v1/pods", query).get("items") or []
    leaving, warnings, refusals = sorted_out(
        pods, force=context.options["force"], daemons=context.options["ignore-daemonsets"],
        local=context.options["delete-emptydir-data"], exists=lambda owner, ns: _exists(context, owner, ns),
    )  # fmt: skip
    if refusals:
        raise UsageError(f"[{', '.join(refusals)}]" if len(refusals) > 1 else refusals[0])
    if warnings:
        print(f"Warning: {'; '.join(warnings)}", file=sys.stderr)
    limit_s = context.options["timeout"]
    deadline = time.monotonic() + limit_s if limit_s else float("inf")
    mode = writing.dry_run(context)
    for pod in leaving:
        meta = pod["metadata"]
        print(f"evicting pod {meta['namespace']}/{meta['name']}" + ("" if mode == "none" else f" ({mode} dry run)"))
        if mode != "client":
            _evict(context, pod, deadline, mode)
    if mode == "none":
        _wait_gone(context, leaving, deadline)


def sorted_out(
    pods: list[Pod], *, force: bool, daemons: bool, local: bool, exists: Any
) -> tuple[list[Pod], list[str], list[str]]:
    """(pods that go, warnings, refusals). `exists(owner, namespace)`: whether a controller is still there."""
    leaving: list[Pod] = []
    refused: dict[str, list[str]] = {_UNMANAGED: [], _DAEMONS: [], _LOCAL: []}
    warned: dict[str, list[str]] = {"ignoring " + _DAEMONS: [], "deleting " + _UNMANAGED: [], "deleting " + _LOCAL: []}
    for pod in pods:
        meta = pod["metadata"]
        shown = f"{meta['namespace']}/{meta['name']}"
        if _MIRROR in (meta.get("annotations") or {}):
            continue
        over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        owner = next((o for o in meta.get("ownerReferences") or () if o.get("controller")), None)
        if owner is not None and owner["kind"] == "DaemonSet" and not over and exists(owner, meta["namespace"]):
            (warned["ignoring " + _DAEMONS] if daemons else refused[_DAEMONS]).append(shown)
            continue
        reasons = []
        if not over and owner is None:
            reasons.append((_UNMANAGED, force))
        if not over and any("emptyDir" in volume for volume in pod["spec"].get("volumes") or ()):
            reasons.append((_LOCAL, local))
        if all(allowed for _, allowed in reasons):
            leaving.append(pod)
        for why, allowed in reasons:
            (warned["deleting " + why] if allowed else refused[why]).append(shown)
    warned.pop("deleting " + _LOCAL)  # asked for by name: nothing to be warned of
    refusals = [f"cannot delete {why} ({_HINTS[why]}): {', '.join(names)}" for why, names in refused.items() if names]
    return leaving, [f"{what}: {', '.join(names)}" for what, names in warned.items() if names], refusals


def _exists(context: Context, owner: dict[str, Any], namespace: str) -> bool:
    try:
        kind = context.resources.find("daemonsets.apps")
        context.session.get(kind.path(namespace, owner["name"]))
    except ServerError as error:
        if error.code == 404:
            return False
        raise
    return True


def _evict(context: Context, pod: Pod, deadline: float, mode: str) -> None:
    """Ask until a disruption budget lets the pod go, or time is over."""
    meta = pod["metadata"]
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": meta["uid"]}}
    if context.options["grace-period"] >= 0:
        options["gracePeriodSeconds"] = context.options["grace-period"]
    if mode == "server":
        options["dryRun"] = ["All"]
    eviction = {
        "apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": options,
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
    }  # fmt: skip
    while True:
        try:
            if context.options["disable-eviction"]:
                context.session.send("DELETE", path, options)
            else:
                context.session.send("POST", f"{path}/eviction", eviction)
        except ServerError as error:
            if error.code == 404:
                return
            if error.code != 429:
                what = f'error when evicting pods/"{meta["name"]}" -n "{meta["namespace"]}"'
                raise UsageError(f"{what}: {error}") from error
            print(
                f'error when evicting pods/"{meta["name"]}" -n "{meta["namespace"]}" (will retry after 5s): {error}',
                file=sys.stderr,
            )
            if time.monotonic() + _RETRY_S > deadline:
                raise UsageError("global timeout reached") from error
            time.sleep(_RETRY_S)
            continue
        return


def _wait_gone(context: Context, pods: list[Pod], deadline: float) -> None:
    for pod in pods:
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        while _is_there(context, path, meta["uid"]):
            if time.monotonic() > deadline:
                raise UsageError(f'error when waiting for pod "{meta["name"]}" to terminate: global timeout reached')
            time.sleep(_POLL_S)
        print(f"pod/{meta['name']} " + ("deleted" if context.options["disable-eviction"] else "evicted"))


def _is_there(context: Context, path: str, uid: str) -> bool:
    try:
        return bool(context.session.get(path)["metadata"]["uid"] == uid)
    except ServerError as error:
        if error.code == 404:
            return False
        raise


COMMAND = Command(
    usage="NODE ...",
    help="Let no new pods come to nodes, and evict those there are, as disruption budgets allow.",
    run=run,
    flags=(
        SELECTOR,
        Flag("force", "also pods that no controller brings back", kind="bool"),
        Flag("ignore-daemonsets", "leave the pods of daemon sets", kind="bool"),
        Flag("delete-emptydir-data", "also pods with emptyDir volumes, whose data is lost", kind="bool"),
        Flag("grace-period", "seconds that pods have to end (-1: what they say)", kind="int", default=-1),
        Flag("timeout", "give up after this time (0: never)", kind="duration"),
        Flag("pod-selector", "label selector of the pods that go"),
        Flag("disable-eviction", "delete: disruption budgets are not asked", kind="bool"),
        writing.DRY_RUN,
    ),
    examples="drain node-1 --ignore-daemonsets\ndrain -l pool=old --ignore-daemonsets --delete-emptydir-data --force",
)
