"""`kubectl debug`: a container for looking into a pod, a copy of a pod, or a pod that looks into a node.

Source: k8s.io/kubectl pkg/cmd/debug/debug.go.
"""

from __future__ import annotations

import copy
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from tiphys.kubectl import debug_profiles, pods, selection
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.debug_profiles import PROFILES, Style
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME
from tiphys.kubectl.resources import Target, fetch
from tiphys.kubectl.session import ServerError, Unreachable

Container = dict[str, Any]
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_KEEPABLE = ("labels", "annotations", "liveness", "readiness", "startup", "init-containers")


def run(context: Context) -> int:
    """Make the container, and connect to it where asked."""
    _check(context)
    for target in _targets(context):
        if target.type.kind == "Node":
            pod, name = _on_node(context, target)
        elif target.type.kind != "Pod":
            raise UsageError(f'"{target.type.kind}" not supported by debug')
        elif context.options["copy-to"]:
            pod, name = _by_copy(context, fetch(context.session, target))
        else:
            pod, name = _beside(context, target)
        if name and _attaches(context):
            _attach(
                context,
                Target(context.resources.find("pods"), pod["metadata"]["name"], pod["metadata"]["namespace"]),
                name,
            )
    return 0


def _check(context: Context) -> None:
    options = context.options
    if options["profile"] not in PROFILES:
        raise UsageError(f"unknown profile: {options['profile']}, one of: {', '.join(PROFILES)}")
    if not options["copy-to"]:
        wrong = [name for name in ("replace", "same-node", "set-image", "keep-labels") if options[name]]
        if wrong:
            raise UsageError(f"--{wrong[0]} may only be used with --copy-to")
        if not options["image"]:
            raise UsageError("--image is required when not using --copy-to")
    elif options["target"]:
        raise UsageError("--target is incompatible with --copy-to. Use --share-processes instead")
    elif not (options["image"] or options["set-image"] or options.after_dashes):
        raise UsageError("you must specify --image, --set-image or command arguments")
    if options["tty"] and not options["stdin"]:
        raise UsageError("-i/--stdin is required for containers with -t/--tty=true")


def _targets(context: Context) -> list[Target]:
    """Words without a type are pods."""
    words = context.words
    if words and not any("/" in word for word in words):
        words = [f"pods/{word}" for word in words]
    return selection.named(context, words)


def _attaches(context: Context) -> bool:
    return bool(context.options["attach"] or ("attach" not in context.options.given and context.options["stdin"]))


def _new(context: Context, name: str) -> Container:
    """A container as the flags have it."""
    options = context.options
    container: Container = {"name": name, "image": options["image"], "terminationMessagePolicy": "File"}
    if options.after_dashes:
        container["args" if options["arguments-only"] else "command"] = options.after_dashes
    if options["env"]:
        pairs = [text.partition("=") for text in options["env"]]
        container["env"] = [{"name": key, "value": value} for key, _, value in pairs]
    if options["image-pull-policy"]:
        container["imagePullPolicy"] = options["image-pull-policy"]
    for flag in ("stdin", "tty"):
        if options[flag]:
            container[flag] = True
    return container


def _profiled(context: Context, pod: pods.Pod, container: Container, style: Style) -> Container:
    """The container after the profile, and after that of --custom."""
    debug_profiles.apply(PROFILES[context.options["profile"]], pod, container, style)
    if not context.options["custom"]:
        return container
    from tiphys.api import strategic
    from tiphys.api.errors import ApiError
    from tiphys.api.kinds.core.pod.containers import Container as Schema

    try:
        return strategic.apply(Schema, container, _custom(str(context.options["custom"])))
    except ApiError as error:
        raise UsageError(f"--custom: {error}") from error


def _custom(path: str) -> dict[str, Any]:
    from tiphys.api.codec_yaml import parse_yaml

    try:
        value, _ = parse_yaml(Path(path).read_bytes())
    except OSError as error:
        raise UsageError(
            f"must pass a container spec json file for custom profile: {path}: {error.strerror}"
        ) from error
    except ValueError as error:
        raise UsageError(f"{path} does not contain a valid container spec: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} does not contain a valid container spec")
    for name in ("name", "command", "image", "lifecycle", "volumeDevices"):
        if name in value:
            raise UsageError(f"{name} in custom profile is not allowed")
    return value


def _beside(context: Context, target: Target) -> tuple[pods.Pod, str]:
    """An ephemeral container in a running pod."""
    pod = fetch(context.session, target)
    name = _name(context, pod)
    container = _profiled(context, pod, _new(context, name), "ephemeral")
    if wanted := context.options["target"]:
        container["targetContainerName"] = wanted
        _tell(context, f'Targeting container "{wanted}". If you don\'t see processes from this container it may be '
                       "because the container runtime doesn't support this feature.")  # fmt: skip
    patch = {"spec": {"ephemeralContainers": [container]}}
    media = "application/strategic-merge-patch+json"
    after = context.session.send("PATCH", target.path("ephemeralcontainers"), patch, content_type=media)
    return after, name


def _name(context: Context, pod: pods.Pod) -> str:
    if context.options["container"]:
        return str(context.options["container"])
    taken = {each["name"] for each in pods.containers(pod)}
    name = f"debugger-{_suffix()}"
    while name in taken:
        name = f"debugger-{_suffix()}"
    _tell(context, f"Defaulting debug container name to {name}.")
    return name


def _suffix() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(5))


def _tell(context: Context, text: str) -> None:
    if not context.options["quiet"]:
        print(text)


def _by_copy(context: Context, pod: pods.Pod) -> tuple[pods.Pod, str]:
    """A copy, with a container more or with one that does something else; no name: all as it was but for images."""
    options, metadata = context.options, pod["metadata"]
    kept = {key: metadata[key] for key in ("namespace", "labels", "annotations") if key in metadata}
    made: pods.Pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**kept, "name": options["copy-to"]}}
    made["spec"] = copy.deepcopy(pod["spec"])
    made["spec"].pop("ephemeralContainers", None)
    if "share-processes" in options.given:
        made["spec"]["shareProcessNamespace"] = options["share-processes"]
    if not options["same-node"]:
        made["spec"].pop("nodeName", None)
    name = _changed(context, made)
    created = context.session.send("POST", f"/api/v1/namespaces/{metadata['namespace']}/pods", made)
    if options["replace"]:
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        context.session.send("DELETE", path, {"gracePeriodSeconds": 0})
    return created, name


def _changed(context: Context, pod: pods.Pod) -> str:
    """The container that is debugged, after the copy has its images, its new or changed container and the profile."""
    options, containers = context.options, pod["spec"]["containers"]
    images = dict(text.partition("=")[::2] for text in options["set-image"])
    for each in containers:
        each["image"] = images.get(each["name"]) or images.get("*") or each["image"]
    name = str(options["container"])
    index = next((i for i, each in enumerate(containers) if each["name"] == name), len(containers))
    if index == len(containers):
        if not options["image"]:
            if images and not name:
                return ""
            raise UsageError("you must specify image when creating new container")
        name = name or _name(context, pod)
        containers.append({})
        changed = _new(context, name)
    else:
        said = {key: value for key, value in _new(context, name).items() if value}
        changed = {**containers[index], **said}
        if "command" in said:
            changed.pop("args", None)
    keep = frozenset(each for each in _KEEPABLE if options[f"keep-{each}"])
    debug_profiles.stripped(pod, keep)
    containers[index] = _profiled(context, pod, changed, "copy")
    return name


def _on_node(context: Context, target: Target) -> tuple[pods.Pod, str]:
    container = str(context.options["container"] or "debugger")
    name = f"node-debugger-{target.name}-{_suffix()}"
    _tell(context, f"Creating debugging pod {name} with container {container} on node {target.name}.")
    fetch(context.session, target)  # a node that is not there would leave a pod that nobody runs
    labels = {"app.kubernetes.io/managed-by": "kubectl-debug"}
    spec: dict[str, Any] = {"nodeName": target.name, "restartPolicy": "Never", "tolerations": [{"operator": "Exists"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}
    spec["containers"] = [_profiled(context, pod, _new(context, container), "node")]
    return context.session.send("POST", f"/api/v1/namespaces/{context.namespace}/pods", pod), container


def _attach(context: Context, target: Target, name: str) -> None:
    from tiphys.kubectl import exec as attaching
    from tiphys.kubectl.logs import copy as copy_logs
    from tiphys.kubectl.wait import until

    def begun(pod: pods.Pod | None) -> bool:
        return any("running" in state or "terminated" in state for state in _states(pod, name))

    if not until(context.session, target, begun, time.monotonic() + float(context.options["pod-running-timeout"])):
        raise UsageError("timed out waiting for the condition")
    pod = fetch(context.session, target)
    if any("terminated" in state for state in _states(pod, name)):
        copy_logs(context, target.namespace, target.name, name, {"container": name})
        return
    context.options.values["container"] = name
    try:
        attaching.stream(
            context, pod, "attach", [], stdin=bool(context.options["stdin"]), tty=bool(context.options["tty"])
        )
    except (ServerError, Unreachable) as error:
        print(
            f"warning: couldn't attach to pod/{target.name}, falling back to streaming logs: {error}", file=sys.stderr
        )
        copy_logs(context, target.namespace, target.name, name, {"container": name, "follow": "true"})


def _states(pod: pods.Pod | None, name: str) -> list[dict[str, Any]]:
    status = (pod or {}).get("status") or {}
    kinds = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    return [each.get("state") or {} for kind in kinds for each in status.get(kind) or () if each["name"] == name]


COMMAND = Command(
    usage="(POD | TYPE/NAME | node/NAME) --image=IMAGE [-it] [-- COMMAND...]",
    help="Look into a pod by a container beside its own or by a copy of it, or into a node by a pod on it.",
    run=run,
    flags=(
        FILENAME,
        Flag("image", "the debugging container's image"),
        Flag("container", "its name", short="c"),
        Flag("target", "a container whose processes it shall see"),
        Flag("profile", "what it may do: " + ", ".join(PROFILES), default="general"),
        Flag("custom", "a file with fields of the container that win over the profile"),
        Flag("env", "NAME=VALUE", kind="list"),
        Flag("arguments-only", "what stands behind -- are arguments, not the command", kind="bool"),
        Flag("image-pull-policy", "Always, IfNotPresent or Never"),
        Flag("attach", "connect to its output", kind="bool"),
        Flag("stdin", "give it our input, and connect to it", short="i", kind="bool"),
        Flag("tty", "give it a terminal", short="t", kind="bool"),
        Flag("quiet", "print only what the container prints", short="q", kind="bool"),
        Flag("copy-to", "make a copy of the pod with this name"),
        Flag("replace", "copy: delete the pod", kind="bool"),
        Flag("same-node", "copy: on the same node", kind="bool"),
        Flag("set-image", "copy: CONTAINER=IMAGE, * is all", kind="list"),
        Flag("share-processes", "copy: its containers see each other's processes", kind="bool", default=True),
        Flag("keep-labels", "copy: keep labels", kind="bool"),
        Flag("keep-annotations", "copy: keep annotations", kind="bool"),
        Flag("keep-liveness", "copy: keep liveness probes", kind="bool"),
        Flag("keep-readiness", "copy: keep readiness probes", kind="bool"),
        Flag("keep-startup", "copy: keep startup probes", kind="bool"),
        Flag("keep-init-containers", "copy: run init containers", kind="bool", default=True),
        pods.RUNNING_TIMEOUT,
    ),
    examples="debug web-1 -it --image=busybox:1 --target=web\n"
    "debug web-1 --copy-to=web-debug --container=web -it -- sh\ndebug node/node-1 -it --image=busybox:1",
)
