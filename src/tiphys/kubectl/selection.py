"""Which objects a command line means: the manifests of -f, TYPE NAME..., TYPE/NAME..., or all that a selector finds.

Source: k8s.io/cli-runtime pkg/resource (builder.go, visitor.go), for the words of refusals.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tiphys.kubectl.command import Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import namespace_of, read
from tiphys.kubectl.resources import ResourceType, Target
from tiphys.kubectl.session import ServerError

SELECTOR = Flag("selector", "label selector, for example app=web,tier!=db", short="l")
FIELD_SELECTOR = Flag("field-selector", "field selector, for example status.phase=Running")
ALL = Flag("all", "all objects of the kinds in the namespace", kind="bool")
ALL_NAMESPACES = Flag("all-namespaces", "in every namespace", short="A", kind="bool")
NO_NAME = "resource(s) were provided, but no name was specified"
_NOTHING = "You must provide one or more resources by argument or filename"


def manifests(context: Context) -> list[dict[str, Any]]:
    """The objects of -f, in order. Raises UsageError."""
    options = context.options
    if not options["filename"]:
        raise UsageError("must specify one of -f and -k")
    return read(options["filename"], recursive=options["recursive"])


def placed(context: Context, obj: dict[str, Any]) -> Target:
    """Where a manifest's object goes; the manifest says so too, afterwards. Raises UsageError."""
    kind = context.resources.for_object(obj)
    given = "namespace" in context.options.given
    namespace = namespace_of(obj, context.namespace, given) if kind.namespaced else ""
    if namespace:
        obj["metadata"]["namespace"] = namespace
    return Target(kind, str(obj["metadata"].get("name") or ""), namespace)


def each(context: Context, act: Callable[[Context, Target, dict[str, Any]], None]) -> int:
    """`act` on every manifest; 1 where the server refused one, after the others were tried."""
    code = 0
    for obj in manifests(context):
        try:
            act(context, placed(context, obj), obj)
        except ServerError as error:
            print(error.shown(), file=sys.stderr)
            code = 1
    return code


def named(context: Context, words: Sequence[str] | None = None) -> list[Target]:
    """Those of -f, of the words (all that are not flags) or of the selectors. Raises UsageError for none."""
    options = context.options
    if options.values.get("filename"):
        return [placed(context, obj) for obj in manifests(context)]
    kinds, targets = context.resources.targets(context.words if words is None else words)
    if targets:
        return targets
    if not kinds:
        raise UsageError(_NOTHING)
    if not any(options.values.get(flag.name) for flag in (ALL, SELECTOR, FIELD_SELECTOR)):
        raise UsageError(NO_NAME)
    return [target for kind in kinds for target in listed(context, kind)]


def listed(context: Context, kind: ResourceType) -> list[Target]:
    """All of a kind that the selectors find."""
    items = context.session.get(kind.path(scope(context, kind)), query(context)).get("items") or ()
    whole = Target(kind, "")
    return [
        replace(whole, name=item["metadata"]["name"], namespace=item["metadata"].get("namespace", "")) for item in items
    ]


def query(context: Context) -> dict[str, Any]:
    """The selectors, as a list's query."""
    values = context.options.values
    return {"labelSelector": values.get("selector", ""), "fieldSelector": values.get("field-selector", "")}


def scope(context: Context, kind: ResourceType) -> str:
    """The namespace to list in; empty: all of them, or none."""
    return "" if context.options.values.get("all-namespaces") or not kind.namespaced else context.namespace
