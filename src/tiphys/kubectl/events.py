"""`kubectl events`: what happened, the newest last."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from tiphys.api.duration import since
from tiphys.kubectl import output, selection
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError

Event = dict[str, Any]


def run(context: Context) -> int:
    """List them, and go on with -w."""
    options = context.options
    everywhere = options["all-namespaces"]
    path = "/api/v1/events" if everywhere else f"/api/v1/namespaces/{context.namespace}/events"
    query = {"fieldSelector": _about(context)} if options["for"] else {}
    listed = context.session.get(path, query)
    found = sorted((e for e in listed.get("items") or () if _wanted(context, e)), key=_last)
    if options["output"]:
        output.show(context, found, listed=True)
        return 0
    if not found and not options["watch"]:
        print(
            "No events found." if everywhere else f"No events found in {context.namespace} namespace.", file=sys.stderr
        )
        return 0
    rows = [_row(event, everywhere) for event in found]
    output.print_rows(rows if options["no-headers"] else [_headings(everywhere), *rows])
    if options["watch"]:
        watched = {**query, "resourceVersion": listed["metadata"]["resourceVersion"]}
        for change in context.session.watch(path, watched):
            if change["type"] in ("ADDED", "MODIFIED") and _wanted(context, change["object"]):
                print("   ".join(_row(change["object"], everywhere)), flush=True)
    return 0


def _about(context: Context) -> str:
    kind, slash, name = str(context.options["for"]).partition("/")
    if not slash or not name:
        raise UsageError("--for must be in resource/name form")
    found = context.resources.find(kind)
    return f"involvedObject.kind={found.kind},involvedObject.name={name}"


def _wanted(context: Context, event: Event) -> bool:
    types = {text.lower() for text in context.options["types"]}
    unknown = types - {"normal", "warning"}
    if unknown:
        raise UsageError("valid --types are Normal or Warning")
    return not types or str(event.get("type", "")).lower() in types


def _last(event: Event) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return str(next((time for time in times if time), ""))


def _headings(everywhere: bool) -> tuple[str, ...]:
    return (("NAMESPACE",) if everywhere else ()) + ("LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE")


def _row(event: Event, everywhere: bool) -> tuple[str, ...]:
    now = datetime.now(UTC)
    count = (event.get("series") or {}).get("count") or event.get("count") or 1
    seen = since(_last(event) or None, now)
    if count > 1:
        first = event.get("firstTimestamp") or event.get("eventTime")
        seen = f"{seen} (x{count} over {since(first, now)})"
    about = event["involvedObject"]
    shown = f"{about.get('kind', '')}/{about.get('name', '')}"
    message = str(event.get("message") or event.get("note") or "").strip()
    head = (event["metadata"].get("namespace", ""),) if everywhere else ()
    return (*head, seen, event.get("type", ""), event.get("reason", ""), shown, message)


COMMAND = Command(
    usage="[--for TYPE/NAME] [--types Warning,Normal] [-A] [-w]",
    help="Show what happened, the newest last.",
    run=run,
    flags=(
        selection.ALL_NAMESPACES,
        Flag("for", "about this object only: TYPE/NAME"),
        Flag("types", "Normal, Warning", kind="list"),
        Flag("watch", "go on with what happens now", short="w", kind="bool"),
        Flag("no-headers", "no headings", kind="bool"),
        *output.FLAGS,
    ),
    examples="events --for pod/web-1\nevents -A --types=Warning -w",
)
