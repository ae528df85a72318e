"""`kubectl get`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from tiphys.kubectl import output, selection
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.resources import ResourceType, Target
from tiphys.kubectl.session import ServerError

CHUNK = 500


def run(context: Context) -> int:
    """List kinds, or show objects by name; with -w go on as they change."""
    options, form = context.options, output.form_of(context)
    kinds: list[ResourceType] = []
    if options["filename"]:
        targets = selection.named(context)
    else:
        if not context.words:
            raise UsageError(
                "You must specify the type of resource to get. Use `tiphys kubectl api-resources` for a list"
            )
        kinds, targets = context.resources.targets(context.words)
    if options["subresource"] and kinds:
        raise UsageError("subresource cannot be used when bulk resources are specified")
    if options["watch"] or options["watch-only"]:
        return _watch(context, kinds, targets)
    if output.is_table(form):
        return _tables(context, kinds, targets)
    return _objects(context, kinds, targets)


def entry(context: Context) -> int:
    """`--raw` asks for a path as it is; everything else is `run`."""
    if context.options["raw"]:
        sys.stdout.write(context.session.request("GET", context.options["raw"]).decode())
        return 0
    return run(context)


def _pages(context: Context, kind: ResourceType, accept: str) -> Iterator[dict[str, Any]]:
    """The list in pieces of CHUNK, so that a large one neither blocks the server nor fills our memory at once."""
    query = {**selection.query(context), "limit": context.options["chunk-size"] or ""}
    path = kind.path(selection.scope(context, kind))
    for _ in range(1_000_000):
        page = context.session.get(path, query, accept=accept)
        yield page
        token = (page.get("metadata") or {}).get("continue")
        if not token:
            return
        query["continue"] = token


def _tables(context: Context, kinds: list[ResourceType], targets: list[Target]) -> int:
    """Server-side tables, one per kind; several kinds show `kind/name`."""
    code = printed = 0
    several = len(kinds) > 1
    for kind in kinds:
        pages = list(_pages(context, kind, output.TABLE))
        rows = [row for page in pages for row in page.get("rows") or ()]
        if rows:
            if printed:
                print()
            _print_table(context, pages[0].get("columnDefinitions", []), rows, kind if several else None)
            printed += 1
    found: dict[ResourceType, tuple[list[Any], list[Any]]] = {}
    for target in targets:
        try:
            table = context.session.get(_path(context, target), accept=output.TABLE)
        except ServerError as error:
            if error.reason == "NotFound" and context.options["ignore-not-found"]:
                continue
            print(error.shown(), file=sys.stderr)
            code = 1
            continue
        found.setdefault(target.type, (table["columnDefinitions"], []))[1].extend(table["rows"])
    for kind, (columns, rows) in found.items():
        if printed:
            print()
        _print_table(context, columns, rows, kind if len(found) > 1 else None)
        printed += 1
    if not printed and not code and not targets:
        _nothing(context, kinds)
    return code


def _path(context: Context, target: Target) -> str:
    if context.options["all-namespaces"]:
        raise UsageError("a resource cannot be retrieved by name across all namespaces")
    return target.path(context.options["subresource"])


def _nothing(context: Context, kinds: list[ResourceType]) -> None:
    if context.options["ignore-not-found"]:
        return
    everywhere = context.options["all-namespaces"] or not any(kind.namespaced for kind in kinds)
    print(
        "No resources found" if everywhere else f"No resources found in {context.namespace} namespace.", file=sys.stderr
    )


def _print_table(
    context: Context, columns: list[dict[str, Any]], rows: list[dict[str, Any]], prefix: ResourceType | None
) -> None:
    if not context.options["no-headers"]:
        head = header(context, columns)
        output.print_rows([head, *(cells(context, columns, row, prefix) for row in rows)])
    else:
        output.print_rows([cells(context, columns, row, prefix) for row in rows])


def header(context: Context, columns: list[dict[str, Any]]) -> list[str]:
    """Column titles as this command shows them."""
    names = [column["name"].upper() for column in _visible(context, columns)]
    if context.options["all-namespaces"]:
        names.insert(0, "NAMESPACE")
    names += [label.rpartition("/")[2].upper() for label in context.options["label-columns"]]
    return names + (["LABELS"] if context.options["show-labels"] else [])


def cells(
    context: Context, columns: list[dict[str, Any]], row: dict[str, Any], prefix: ResourceType | None
) -> list[str]:
    """One row's texts, with the namespace, label columns and labels that the flags ask for."""
    metadata = (row.get("object") or {}).get("metadata") or {}
    wide = context.options["output"] == "wide"
    shown = [
        _cell(value)
        for column, value in zip(columns, row["cells"], strict=False)
        if wide or column.get("priority", 0) == 0
    ]
    if prefix is not None:
        shown[0] = f"{prefix.qualified}/{shown[0]}"
    if context.options["all-namespaces"]:
        shown.insert(0, metadata.get("namespace", ""))
    labels = metadata.get("labels") or {}
    shown += [labels.get(label, "") for label in context.options["label-columns"]]
    if context.options["show-labels"]:
        shown.append(",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>")
    return shown


def _visible(context: Context, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    wide = context.options["output"] == "wide"
    return [column for column in columns if wide or column.get("priority", 0) == 0]


def _cell(value: Any) -> str:
    if value is None:
        return "<none>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _objects(context: Context, kinds: list[ResourceType], targets: list[Target]) -> int:
    found: list[dict[str, Any]] = []
    code = 0
    for kind in kinds:
        for page in _pages(context, kind, "application/json"):
            for item in page.get("items") or ():
                found.append({"apiVersion": kind.api_version, "kind": kind.kind, **item})
    for target in targets:
        try:
            found.append(context.session.get(_path(context, target)))
        except ServerError as error:
            if error.reason == "NotFound" and context.options["ignore-not-found"]:
                continue
            print(error.shown(), file=sys.stderr)
            code = 1
    if context.options["sort-by"]:
        _sort(found, context.options["sort-by"])
    listed = bool(kinds) or len(targets) > 1
    if found or listed:
        output.show(context, found, listed=listed)
    return code


def _sort(objects: list[dict[str, Any]], path: str) -> None:
    from tiphys.base import jsonpath

    def key(obj: dict[str, Any]) -> tuple[int, Any]:
        values = jsonpath.find(path.strip("{}"), obj)
        value = values[0] if values else None
        return (0, "") if value is None else (1, value if isinstance(value, int | float) else str(value))

    objects.sort(key=key)


def _watch(context: Context, kinds: list[ResourceType], targets: list[Target]) -> int:
    """Print what is there, then every change, until interrupted or the server ends the watch."""
    if len(kinds) + len(targets) != 1:
        raise UsageError("you may only specify a single resource type or name with --watch")
    form = output.form_of(context)
    accept = output.TABLE if output.is_table(form) else "application/json"
    kind = kinds[0] if kinds else targets[0].type
    query = selection.query(context)
    if targets:
        query["fieldSelector"] = f"metadata.name={targets[0].name}"
        context.session.get(_path(context, targets[0]), accept=accept)
    path = kind.path(selection.scope(context, kind))
    first = context.session.get(path, query, accept=accept)
    state = _WatchPrinter(context, form)
    if not context.options["watch-only"]:
        state.show(first)
    version = first["metadata"]["resourceVersion"]
    for event in context.session.watch(path, {**query, "resourceVersion": version}, accept=accept):
        if event["type"] == "ERROR":
            raise ServerError(event["object"], int(event["object"].get("code", 500)))
        if event["type"] != "BOOKMARK":
            state.show(event["object"])
    return 0


class _WatchPrinter:
    """Prints tables row by row, with the header once and columns that keep the widths they began with."""

    def __init__(self, context: Context, form: str) -> None:
        self.context, self.form = context, form
        self.columns: list[dict[str, Any]] = []
        self.widths: list[int] = []

    def show(self, answer: dict[str, Any]) -> None:
        if not output.is_table(self.form):
            items = answer.get("items", [answer])
            for item in items:
                if self.form == "yaml":
                    print("---")
                output.show(self.context, [item], listed=False)
            sys.stdout.flush()
            return
        self.columns = answer.get("columnDefinitions") or self.columns
        rows = [cells(self.context, self.columns, row, None) for row in answer.get("rows") or ()]
        if not rows:
            return
        if not self.widths:
            head = header(self.context, self.columns)
            self.widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
            rows = rows if self.context.options["no-headers"] else [head, *rows]
        for row in rows:
            padded = [cell.ljust(width) for cell, width in zip(row, self.widths, strict=False)]
            print("   ".join(padded).rstrip(), flush=True)


COMMAND = Command(
    usage="[TYPE[.VERSION][.GROUP] [NAME...] | TYPE/NAME ...]",
    help="Display one or many resources.",
    run=entry,
    flags=(
        *output.FLAGS,
        selection.ALL_NAMESPACES,
        selection.SELECTOR,
        selection.FIELD_SELECTOR,
        Flag("watch", "go on as objects change", short="w", kind="bool"),
        Flag("watch-only", "only changes, not what is there", kind="bool"),
        Flag("label-columns", "show these labels as columns", short="L", kind="list"),
        Flag("show-labels", "show all labels", kind="bool"),
        Flag("no-headers", "no line of titles", kind="bool"),
        Flag("sort-by", "sort by this JSONPath"),
        Flag("ignore-not-found", "an object that is not there is no error", kind="bool"),
        Flag("filename", "the objects named in these manifests", short="f", kind="list"),
        Flag("recursive", "read directories of manifests recursively", short="R", kind="bool"),
        Flag("subresource", "this part of the object: status, scale ..."),
        Flag("chunk-size", "how many objects are asked for at once (0: all)", kind="int", default=CHUNK),
        Flag("raw", "ask for a path of the API as it is"),
    ),
    examples="""
get pods -o wide
get deploy,svc -A
get pod web-1 -o jsonpath='{.status.podIP}'
get events -w
""",
)
