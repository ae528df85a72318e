"""`kubectl run`: one pod from a few words, and our terminal connected to it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from tiphys.kubectl import output, pods, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.create import send
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.resources import Target
from tiphys.kubectl.session import ServerError, Unreachable

_OVER = ("Succeeded", "Failed")
_LOGS_S = 5.0


def run(context: Context) -> int:
    """Create the pod; with -i or --attach connect to it, and end as it ends."""
    _check(context)
    pod = manifest(context)
    if not _attaches(context):
        send(context, pod)
        _expose(context, pod)
        return 0
    created = send(context, pod, tells=False)
    _expose(context, pod)
    target = Target(context.resources.find("pods"), created["metadata"]["name"], created["metadata"]["namespace"])
    try:
        return _with_us(context, target)
    finally:
        if context.options["rm"]:
            context.session.send("DELETE", target.path(), {"propagationPolicy": "Background"})
            if not context.options["quiet"]:
                print(f'pod "{target.name}" deleted from {target.namespace} namespace')


def _check(context: Context) -> None:
    options = context.options
    if not context.words:
        raise UsageError("NAME is required for run")
    if not options["image"]:
        raise UsageError("--image is required")
    if options["tty"] and not options["stdin"]:
        raise UsageError("-i/--stdin is required for containers with -t/--tty=true")
    if options["expose"] and not options["port"]:
        raise UsageError("--port must be set when exposing a service")
    if options["restart"] not in ("Always", "OnFailure", "Never"):
        raise UsageError(f"invalid restart policy: {options['restart']}")
    if options["rm"] and not _attaches(context):
        raise UsageError("--rm should only be used for attached containers")
    if _attaches(context) and writing.dry_run(context) != "none":
        raise UsageError(
            "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)"
        )


def _attaches(context: Context) -> bool:
    return bool(context.options["attach"] or ("attach" not in context.options.given and context.options["stdin"]))


def manifest(context: Context) -> dict[str, Any]:
    """The pod. Raises UsageError."""
    options = context.options
    name, *words = context.words
    container: dict[str, Any] = {"name": name, "image": options["image"]}
    if words or options.after_dashes:
        container["command" if options["command"] else "args"] = [*words, *options.after_dashes]
    if options["port"]:
        container["ports"] = [{"containerPort": options["port"]}]
    if options["env"]:
        container["env"] = [{"name": key, "value": value} for key, value in _pairs(options["env"], "env")]
    if options["image-pull-policy"]:
        container["imagePullPolicy"] = options["image-pull-policy"]
    if options["privileged"]:
        container["securityContext"] = {"privileged": True}
    if options["stdin"]:
        container |= {"stdin": True, "stdinOnce": not options["leave-stdin-open"]}
    if options["tty"]:
        container["tty"] = True
    metadata: dict[str, Any] = {"name": name, "labels": dict(_pairs(options["labels"], "labels")) or {"run": name}}
    if options["annotations"]:
        metadata["annotations"] = dict(_pairs(options["annotations"], "annotations"))
    spec = {"containers": [container], "restartPolicy": options["restart"]}
    return _overridden(context, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def _pairs(texts: list[str], flag: str) -> list[tuple[str, str]]:
    pairs = [text.partition("=") for text in texts]
    wrong = next((text for text, (_, equals, _) in zip(texts, pairs, strict=True) if not equals), None)
    if wrong is not None:
        raise UsageError(f"invalid {flag}: {wrong}, expected KEY=VALUE")
    return [(key, value) for key, _, value in pairs]


def _overridden(context: Context, pod: dict[str, Any]) -> dict[str, Any]:
    if not context.options["overrides"]:
        return pod
    from tiphys.api import mergepatch

    try:
        change = json.loads(context.options["overrides"])
    except ValueError as error:
        raise UsageError(f"invalid --overrides: {error}") from error
    merged: dict[str, Any] = mergepatch.apply(pod, change)
    return merged


def _expose(context: Context, pod: dict[str, Any]) -> None:
    options = context.options
    if options["expose"]:
        ports = [{"port": options["port"], "targetPort": options["port"], "protocol": "TCP"}]
        spec = {"selector": pod["metadata"]["labels"], "ports": ports}
        send(context, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": context.words[0]}, "spec": spec})


def _with_us(context: Context, target: Target) -> int:
    """Connect to the pod when it runs; the exit code of its process where that will come to an end."""
    pod = _wait(context, target, _runs_or_is_over)
    namespace, name = target.namespace, target.name
    if pod["status"]["phase"] in _OVER:
        _logs(context, namespace, name, follow=True)
    else:
        _connect(context, pod)
    if context.options["leave-stdin-open"] or context.options["restart"] == "Always":
        return 0
    over = _OVER if context.options["restart"] == "Never" else ("Succeeded",)
    pod = _wait(context, target, lambda pod: pod["status"].get("phase") in over)
    if pod["status"]["phase"] == "Succeeded":
        return 0
    statuses = pod["status"].get("containerStatuses") or [{}]
    ended = (statuses[0].get("state") or {}).get("terminated") or {}
    if not ended.get("exitCode"):
        raise UsageError(f"pod {namespace}/{name} failed with unknown exit code")
    print(f"pod {namespace}/{name} terminated ({ended.get('reason', '')})\n{ended.get('message', '')}", file=sys.stderr)
    return int(ended["exitCode"])


def _connect(context: Context, pod: pods.Pod) -> None:
    from tiphys.kubectl import exec as attaching

    metadata, options = pod["metadata"], context.options
    _logs(context, metadata["namespace"], metadata["name"], follow=False)
    stdin, tty = bool(options["stdin"]), bool(options["tty"])
    try:
        attaching.stream(context, pod, "attach", [], stdin=stdin, tty=tty)
    except (ServerError, Unreachable) as error:
        print(
            f"warning: couldn't attach to pod/{metadata['name']}, falling back to streaming logs: {error}",
            file=sys.stderr,
        )
        _logs(context, metadata["namespace"], metadata["name"], follow=True)


def _logs(context: Context, namespace: str, pod: str, *, follow: bool) -> None:
    from tiphys.kubectl.logs import copy

    copy(context, namespace, pod, "", {"follow": "true"} if follow else {})


def _runs_or_is_over(pod: pods.Pod) -> bool:
    status = pod.get("status") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    return status.get("phase") in _OVER or (status.get("phase") == "Running" and ready)


def _wait(context: Context, target: Target, reached: Any) -> pods.Pod:
    """Until the pod is so, for --pod-running-timeout at most. Raises UsageError, ServerError."""
    from tiphys.kubectl.wait import until

    seen: list[pods.Pod] = []

    def met(pod: pods.Pod | None) -> bool:
        if pod is None:
            return False
        seen[:] = [pod]
        return bool(reached(pod))

    deadline = time.monotonic() + float(context.options["pod-running-timeout"])
    if not until(context.session, target, met, deadline):
        raise UsageError("timed out waiting for the condition")
    return seen[0]


COMMAND = Command(
    usage="NAME --image=IMAGE [-it] [-- ARGS...]",
    help="Run one pod.",
    run=run,
    flags=(
        Flag("image", "the container's image"),
        Flag("command", "what stands behind -- is the command, not its arguments", kind="bool"),
        Flag("port", "the port that the container listens on", kind="int"),
        Flag("expose", "make a service for the port too", kind="bool"),
        Flag("env", "NAME=VALUE", kind="array"),
        Flag("labels", "KEY=VALUE,...", short="l", kind="list"),
        Flag("annotations", "KEY=VALUE", kind="array"),
        Flag("restart", "Always, OnFailure or Never", default="Always"),
        Flag("image-pull-policy", "Always, IfNotPresent or Never"),
        Flag("privileged", "with all rights on the node", kind="bool"),
        Flag("overrides", "JSON that is merged into the pod"),
        Flag("attach", "connect to the pod's output", kind="bool"),
        Flag("stdin", "give it our input, and connect to it", short="i", kind="bool"),
        Flag("tty", "give it a terminal", short="t", kind="bool"),
        Flag("leave-stdin-open", "its input stays open when we go", kind="bool"),
        Flag("rm", "delete the pod when we go", kind="bool"),
        Flag("quiet", "print only what the container prints", short="q", kind="bool"),
        Flag("container", "which container to connect to, with --overrides", short="c"),
        pods.RUNNING_TIMEOUT,
        writing.DRY_RUN,
        writing.field_manager("kubectl-run"),
        *output.FLAGS,
    ),
    examples="run web --image=hello:1 --port=8080\nrun once --image=busybox:1 --restart=Never -- date\n"
    "run -it --rm sh --image=busybox:1 --restart=Never -- sh",
)
