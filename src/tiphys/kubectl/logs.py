"""`kubectl logs`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.resources import Target, fetch

_FOLLOW_MAX = 5


def run(context: Context) -> int:
    """Print logs of the containers that the words name; several at once with -f."""
    streams = list(_streams(context))
    if context.options["follow"] and len(streams) > 1:
        limit = context.options["max-log-requests"]
        if len(streams) > limit:
            raise UsageError(
                f"you are attempting to follow {len(streams)} log streams, but maximum allowed concurrency is {limit}, "
                "use --max-log-requests to increase the limit"
            )
        return _together(context, streams)
    for pod, container in streams:
        _copy(context, pod, container, len(streams) > 1 and context.options["prefix"])
    return 0


def _streams(context: Context) -> Iterator[tuple[str, str]]:
    """(pod, container) pairs in order."""
    for pod in _pods(context):
        name, spec = pod["metadata"]["name"], pod["spec"]
        names = [c["name"] for c in spec["containers"]]
        every = [
            c["name"]
            for c in (
                *(spec.get("initContainers") or ()),
                *spec["containers"],
                *(spec.get("ephemeralContainers") or ()),
            )
        ]
        wanted = context.options["container"] or (
            context.words[1] if len(context.words) == 2 and "/" in context.words[0] else ""
        )
        if context.options["all-containers"]:
            for container in every:
                yield name, container
            continue
        if not wanted:
            annotated = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
            wanted = annotated if annotated in names else names[0]
            if len(names) > 1 and wanted != annotated:
                print(f'Defaulted container "{wanted}" out of: {", ".join(every)}', file=sys.stderr)
        if wanted not in every:
            raise UsageError(f"container {wanted} is not valid for pod {name}")
        yield name, str(wanted)


def _pods(context: Context) -> list[dict[str, Any]]:
    selector = context.options["selector"]
    if selector:
        if context.words:
            raise UsageError("only a selector (-l) or a POD name is allowed")
        path = f"/api/v1/namespaces/{context.namespace}/pods"
        return list(context.session.get(path, {"labelSelector": selector}).get("items") or ())
    if not context.words:
        raise UsageError(
            "'logs (POD | TYPE/NAME) [CONTAINER_NAME]'.\nPOD or TYPE/NAME is a required argument for the logs command"
        )
    word = context.words[0]
    if "/" in word and not word.startswith(("pod/", "pods/", "po/")):
        return _pods_of(context, word)
    name = word.rpartition("/")[2]
    pod: dict[str, Any] = context.session.get(f"/api/v1/namespaces/{context.namespace}/pods/{name}")
    if len(context.words) == 2:
        context.options.values["container"] = context.words[1]
    return [pod]


def _pods_of(context: Context, word: str) -> list[dict[str, Any]]:
    """The pods behind `deploy/web`, newest ready first; only the first unless --all-pods."""
    _, (target,) = context.resources.targets([word])
    pods = pods_behind(context, target)
    if not pods:
        raise UsageError(f"timed out waiting for the condition: no pods of {target.shown}")
    if context.options["all-pods"]:
        return pods
    if len(pods) > 1:
        print(f"Found {len(pods)} pods, using pod/{pods[0]['metadata']['name']}", file=sys.stderr)
    return pods[:1]


def pods_behind(context: Context, target: Target) -> list[dict[str, Any]]:
    """Pods that the object's selector chooses, those that run first. Raises UsageError where it has none."""
    obj = fetch(context.session, target, context.namespace)
    selector = (obj.get("spec") or {}).get("selector") or {}
    labels = selector.get("matchLabels", selector if target.type.kind in ("Service", "ReplicationController") else None)
    if not labels:
        raise UsageError(f"selector for {target.shown} is not known")
    query = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())}
    pods = list(context.session.get(f"/api/v1/namespaces/{context.namespace}/pods", query).get("items") or ())
    pods.sort(key=lambda pod: ((pod.get("status") or {}).get("phase") != "Running", pod["metadata"]["name"]))
    return pods


def _query(context: Context, container: str) -> dict[str, Any]:
    options = context.options
    query: dict[str, Any] = {"container": container}
    for name in ("follow", "previous", "timestamps"):
        if options[name]:
            query[name] = True
    if options["tail"] >= 0:
        query["tailLines"] = options["tail"]
    elif options["selector"] and "tail" not in options.given:
        query["tailLines"] = 10
    if options["since"]:
        query["sinceSeconds"] = max(1, round(options["since"]))
    if options["since-time"]:
        query["sinceTime"] = options["since-time"]
    if options["limit-bytes"]:
        query["limitBytes"] = options["limit-bytes"]
    return query


def _copy(context: Context, pod: str, container: str, prefix: bool) -> None:
    path = f"/api/v1/namespaces/{context.namespace}/pods/{pod}/log"
    head = f"[pod/{pod}/{container}] ".encode() if prefix else b""
    out = sys.stdout.buffer
    with context.session.stream(path, _query(context, container), accept="*/*") as answer:
        if head:
            for line in answer:
                out.write(head + line)
                out.flush()
            return
        while chunk := answer.read1(65536):
            out.write(chunk)
            out.flush()


def _together(context: Context, streams: list[tuple[str, str]]) -> int:
    threads = [
        threading.Thread(target=_copy, args=(context, pod, container, context.options["prefix"]), daemon=True)
        for pod, container in streams
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


COMMAND = Command(
    usage="[-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]",
    help="Print what a container wrote.",
    run=run,
    flags=(
        Flag("follow", "go on as the container writes", short="f", kind="bool"),
        Flag("previous", "of the container's last run before this one", short="p", kind="bool"),
        Flag("container", "which container", short="c"),
        Flag("all-containers", "all containers of the pod", kind="bool"),
        Flag("all-pods", "all pods of TYPE/NAME", kind="bool"),
        Flag("selector", "of all pods with these labels", short="l"),
        Flag("tail", "only the last lines (-1: all; 10 with a selector)", kind="int", default=-1),
        Flag("since", "only what is newer, for example 5m", kind="duration"),
        Flag("since-time", "only what is newer than this RFC 3339 time"),
        Flag("timestamps", "with the time of each line", kind="bool"),
        Flag("limit-bytes", "at most this many bytes", kind="int"),
        Flag("prefix", "say which pod and container wrote a line", kind="bool"),
        Flag("max-log-requests", "how many logs may be followed at once", kind="int", default=_FOLLOW_MAX),
    ),
    examples="""
logs web-1
logs -f deploy/web --tail=20
logs -l app=web --prefix --all-containers
""",
)
