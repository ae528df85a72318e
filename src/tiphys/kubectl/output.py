"""How objects are printed: tables from the server, yaml, json, names, jsonpath, custom columns."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from tiphys.base import jsonpath
from tiphys.kubectl.command import Context
from tiphys.kubectl.flags import Flag, UsageError

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_FORMS = (
    "custom-columns", "custom-columns-file", "go-template", "go-template-file", "json", "jsonpath", "jsonpath-as-json",
    "jsonpath-file", "name", "template", "templatefile", "wide", "yaml",
)  # fmt: skip
OUTPUT = Flag(
    "output",
    "json, yaml, name, wide, or with =TEMPLATE or =FILE: " + ", ".join(f for f in _FORMS if "-" in f),
    short="o",
)
TEMPLATE = Flag("template", "the template, or its file, of -o go-template and the like")
SHOW_MANAGED = Flag("show-managed-fields", "keep managedFields when printing json or yaml", kind="bool")
FLAGS = (OUTPUT, TEMPLATE, SHOW_MANAGED)


def form_of(context: Context) -> str:
    """What -o and --template say: `` (a table or words), `json`, `go-template=...`."""
    form, template = str(context.options.values.get("output", "")), context.options.values.get("template", "")
    return f"{form or 'go-template'}={template}" if template and "=" not in form else form


def is_table(form: str) -> bool:
    return form in ("", "wide")


def show(context: Context, objects: Sequence[dict[str, Any]], *, listed: bool) -> None:
    """Print objects as -o says, which is not a table. `listed`: several were asked for. Raises UsageError."""
    managed = bool(context.options.values.get("show-managed-fields"))
    print_objects(objects, form_of(context), listed=listed, managed=managed)


def print_objects(objects: Sequence[dict[str, Any]], form: str, *, listed: bool, managed: bool = False) -> None:
    """Print in any form but the table ones. `listed`: several were asked for, so JSON and YAML show a List."""
    kind, _, argument = form.partition("=")
    if kind.endswith(("-file", "file")) and kind in _FORMS:
        kind, argument = kind.removesuffix("file").removesuffix("-"), _read(argument)
    if kind == "name":
        for obj in objects:
            print(name_of(obj))
        return
    shown = [obj if managed else without_managed(obj) for obj in objects]
    root: Any = shown[0] if not listed and shown else _list_of(shown)
    match kind:
        case "json":
            json.dump(root, sys.stdout, indent=4, ensure_ascii=False)
            print()
        case "yaml":
            sys.stdout.write(to_yaml(root))
        case "jsonpath" | "jsonpath-as-json" | "go-template" | "template":
            print(_templated(kind, argument, root), end="")
        case "custom-columns":
            _columns(argument, shown)
        case _:
            raise UsageError(
                f'unable to match a printer suitable for the output format "{form}", '
                f"allowed formats are: {','.join(_FORMS)}"
            )


def _templated(kind: str, template: str, root: Any) -> str:
    if not template:
        raise UsageError(f"template format specified but no template given (-o {kind}=TEMPLATE)")
    if kind in ("go-template", "template"):
        from tiphys.base import gotemplate

        try:
            return gotemplate.render(template, root)
        except gotemplate.TemplateError as error:
            raise UsageError(f"error executing template {json.dumps(template, ensure_ascii=False)}: {error}") from error
    try:
        if kind == "jsonpath-as-json":
            found = jsonpath.find(template.strip("{}"), root)
            return json.dumps(found, indent=4, ensure_ascii=False) + "\n"
        return jsonpath.render(template, root)
    except jsonpath.PathError as error:
        raise UsageError(f"error executing jsonpath {template!r}: {error}") from error


def to_yaml(value: Any) -> str:
    """YAML as kubectl writes it: keys sorted, block style, long lines unbroken."""
    from tiphys.api import yaml_text

    return yaml_text.to_yaml(value)


def name_of(obj: dict[str, Any]) -> str:
    """`deployment.apps/web`"""
    group = obj.get("apiVersion", "").rpartition("/")[0]
    kind = obj.get("kind", "").lower()
    return f"{kind}.{group}/{obj['metadata']['name']}" if group else f"{kind}/{obj['metadata']['name']}"


def without_managed(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def print_rows(rows: Iterable[Sequence[str]], *, out: Any = None) -> None:
    """Columns aligned by three spaces, as kubectl's tab writer does."""
    kept = [[str(cell) for cell in row] for row in rows]
    if not kept:
        return
    widths = [max(len(row[i]) for row in kept if i < len(row)) for i in range(max(len(row) for row in kept))]
    for row in kept:
        padded = [cell.ljust(widths[i]) for i, cell in enumerate(row[:-1])] + row[-1:]
        print("   ".join(padded).rstrip(), file=out or sys.stdout)


def _list_of(objects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"apiVersion": "v1", "items": list(objects), "kind": "List", "metadata": {"resourceVersion": ""}}


def _columns(spec: str, objects: Sequence[dict[str, Any]]) -> None:
    columns = [part.partition(":") for part in re.split(r",(?![^\[(]*[\])])", spec.strip())]
    if not spec or any(not path for _, _, path in columns):
        raise UsageError(f"unexpected custom-columns spec: {spec}, expected <header>:<json-path-expr>")
    rows: list[list[str]] = [[name for name, _, _ in columns]]
    for obj in objects:
        found = [jsonpath.find(path.strip("{}"), obj) for _, _, path in columns]
        rows.append([",".join(jsonpath.shown(value) for value in values) or "<none>" for values in found])
    print_rows(rows)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
