"""`kubectl logs`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

from tiphys.kubectl import pods
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.session import ServerError, Unreachable

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
    for stream in streams:
        copy(context, *stream, _query(context, stream[2]), prefix=_has_prefix(context))
    return 0


def _streams(context: Context) -> Iterator[tuple[str, str, str]]:
    """(namespace, pod, container) in order. Raises UsageError."""
    wanted = str(context.options["container"] or (context.words[1] if len(context.words) == 2 else ""))
    for pod in _pods(context):
        metadata = pod["metadata"]
        if context.options["all-containers"]:
            for each in pods.containers(pod):
                yield metadata["namespace"], metadata["name"], each["name"]
            continue
        if wanted and wanted not in (each["name"] for each in pods.containers(pod)):
            raise UsageError(f"container {wanted} is not valid for pod {metadata['name']}")
        yield metadata["namespace"], metadata["name"], pods.container(pod, wanted)


def _pods(context: Context) -> list[pods.Pod]:
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
    if context.options["all-pods"] and "/" in word:
        _, (target,) = context.resources.targets([word])
        return pods.behind(context, target)
    pod = pods.one(context, word)
    if "/" in word and not word.startswith(("pod/", "pods/", "po/")):
        _, (target,) = context.resources.targets([word])
        count = len(pods.behind(context, target))
        if count > 1:
            print(f"Found {count} pods, using pod/{pod['metadata']['name']}", file=sys.stderr)
    return [pod]


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


def _has_prefix(context: Context) -> bool:
    return bool(context.options["prefix"] or context.options["all-pods"])


def copy(
    context: Context, namespace: str, pod: str, container: str, query: dict[str, Any], *, prefix: bool = False
) -> None:
    """What a container wrote, to our output. Raises ServerError."""
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
    head = f"[pod/{pod}/{container}] ".encode() if prefix else b""
    out = sys.stdout.buffer
    with context.session.stream(path, query, accept="*/*") as answer:
        if head:
            for line in answer:
                out.write(head + line)
                out.flush()
            return
        while chunk := answer.read1(65536):
            out.write(chunk)
            out.flush()


def _together(context: Context, streams: list[tuple[str, str, str]]) -> int:
    threads = [threading.Thread(target=_follow, args=(context, stream), daemon=True) for stream in streams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


def _follow(context: Context, stream: tuple[str, str, str]) -> None:
    try:
        copy(context, *stream, _query(context, stream[2]), prefix=_has_prefix(context))
    except (ServerError, Unreachable) as error:
        print(error.shown() if isinstance(error, ServerError) else error, file=sys.stderr)


COMMAND = Command(
    usage="[-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]",
    help="Print what a container wrote.",
    run=run,
    flags=(
        Flag("follow", "go on as the container writes", short="f", kind="bool"),
        Flag("previous", "of the container's last run before this one", short="p", kind="bool"),
        Flag("container", "which container", short="c"),
        Flag("all-containers", "all containers of the pod", kind="bool"),
        Flag("all-pods", "all pods of TYPE/NAME, with --prefix", kind="bool"),
        pods.RUNNING_TIMEOUT,
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
