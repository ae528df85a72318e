"""`kubectl describe`: an object with what belongs to it, for people; the events last."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl import selection
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.describe import batch, controllers, generic, namespace, node, pod, service, workloads
from tiphys.kubectl.describe.writer import NONE, Writer, age
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE
from tiphys.kubectl.resources import ResourceType, Target, fetch
from tiphys.kubectl.session import ServerError


def run(context: Context) -> int:
    """Describe what is named, or all that the selector finds; names may be prefixes, as in kubectl."""
    options = context.options
    if options["filename"]:
        objects = [fetch(context.session, target) for target in selection.named(context)]
    else:
        kinds, targets = context.resources.targets(context.words)
        if not kinds and not targets:
            raise UsageError("You must specify the type of resource to describe")
        objects = [obj for kind in kinds for obj in _listed(context, kind)]
        objects += [obj for target in targets for obj in _named(context, target)]
    for index, obj in enumerate(objects):
        if index:
            print("\n")
        print(text_of(context, obj), end="")
    return 0


def text_of(context: Context, obj: dict[str, Any]) -> str:
    """The whole description of one object."""
    out = Writer()
    match obj.get("kind"):
        case "Pod":
            pod.describe(out, obj)
        case "Deployment":
            workloads.deployment(out, obj, context)
        case "ReplicaSet":
            workloads.replica_set(out, obj, context)
        case "ReplicationController":
            controllers.replication_controller(out, obj, context)
        case "DaemonSet":
            controllers.daemon_set(out, obj, context)
        case "StatefulSet":
            controllers.stateful_set(out, obj, context)
        case "Job":
            batch.job(out, obj)
        case "CronJob":
            batch.cron_job(out, obj)
        case "Namespace":
            namespace.describe(out, obj, context)
        case "Service":
            service.describe(out, obj, context)
        case "Node":
            node.describe(out, obj, context)
        case _:
            generic.describe(out, obj)
    if context.options["show-events"]:
        _events(out, obj, context)
    return out.text()


def _listed(context: Context, kind: ResourceType) -> list[dict[str, Any]]:
    listed = context.session.get(kind.path(selection.scope(context, kind)), selection.query(context))
    return [{"kind": kind.kind, "apiVersion": kind.api_version, **item} for item in listed.get("items") or ()]


def _named(context: Context, target: Target) -> list[dict[str, Any]]:
    try:
        return [fetch(context.session, target)]
    except ServerError as error:
        if error.reason != "NotFound":
            raise
        found = [obj for obj in _listed(context, target.type) if obj["metadata"]["name"].startswith(target.name)]
        if not found:
            raise
        return found


def _events(out: Writer, obj: dict[str, Any], context: Context) -> None:
    """What the components said of the object, oldest first, repeated events with their count."""
    metadata = obj["metadata"]
    selector = f"involvedObject.name={metadata['name']},involvedObject.kind={obj['kind']}"
    if obj["kind"] == "Node":
        path = "/api/v1/events"
    else:
        selector += f",involvedObject.uid={metadata.get('uid', '')}"
        path = f"/api/v1/namespaces/{metadata.get('namespace') or 'default'}/events"
    events = list(context.session.get(path, {"fieldSelector": selector}).get("items") or ())
    if not events:
        out.field(0, "Events", NONE)
        return
    events.sort(key=lambda event: _last(event))
    out.line(0, "Events:")
    rows = []
    for event in events:
        sender = (event.get("source") or {}).get("component") or event.get("reportingComponent", "")
        part = (event.get("involvedObject") or {}).get("fieldPath", "")
        message = event.get("message", "").strip()
        rows.append(
            [
                event.get("type", ""),
                event.get("reason", ""),
                _interval(event),
                sender,
                f"{part}: {message}" if part else message,
            ]
        )
    out.table(1, ["Type", "Reason", "Age", "From", "Message"], rows)


def _last(event: dict[str, Any]) -> str:
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event.get("firstTimestamp")
        or ""
    )


def _interval(event: dict[str, Any]) -> str:
    count = (event.get("series") or {}).get("count") or event.get("count") or 1
    first = event.get("firstTimestamp") or event.get("eventTime")
    return f"{age(_last(event))} (x{count} over {age(first)})" if count > 1 else age(first)


COMMAND = Command(
    usage="(-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME)",
    help="Show an object with what belongs to it and what happened to it.",
    run=run,
    flags=(
        FILENAME,
        RECURSIVE,
        selection.SELECTOR,
        selection.ALL_NAMESPACES,
        Flag("show-events", "with the events", kind="bool", default=True),
    ),
    examples="""
describe pod web-1
describe node
describe deploy -l app=web
""",
)
