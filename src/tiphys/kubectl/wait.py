"""`kubectl wait`: until a condition, a field or a deletion."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from tiphys.base import jsonpath
from tiphys.kubectl import selection
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.resources import Target
from tiphys.kubectl.session import ServerError, Session

Met = Callable[[dict[str, Any] | None], bool]


def run(context: Context) -> int:
    """Watch each object until it meets `--for`; all share one deadline."""
    met, done = _condition(context.options["for"])
    targets = selection.named(context)
    if not targets:
        if context.options["for"] == "delete":
            return 0
        print("error: no matching resources found", file=sys.stderr)
        return 1
    timeout_s = context.options["timeout"] or (30.0 if "timeout" not in context.options.given else 0.0)
    deadline = time.monotonic() + (timeout_s if timeout_s >= 0 else 7 * 24 * 3600)
    may_be_missing = context.options["for"] in ("delete", "create")
    for target in targets:
        try:
            reached = until(context.session, target, met, deadline, may_be_missing=may_be_missing)
        except ServerError as error:
            print(error.shown(), file=sys.stderr)
            return 1
        if not reached:
            print(f"error: timed out waiting for the condition on {target.type.plural}/{target.name}", file=sys.stderr)
            return 1
        print(f"{target.shown} {done}", flush=True)
    return 0


def _condition(text: str) -> tuple[Met, str]:
    """What `--for` means, and the words when it is met. Raises UsageError."""
    kind, equals, rest = text.partition("=")
    if text == "delete":
        return (lambda obj: obj is None), "condition met"
    if text == "create":
        return (lambda obj: obj is not None), "condition met"
    if kind == "condition" and equals:
        name, _, value = rest.partition("=")
        return _has_condition(name, value or "true"), "condition met"
    if kind == "jsonpath" and equals:
        path, _, value = rest.rpartition("=") if "}=" in rest or rest.count("=") == 1 else (rest, "", "")
        return _has_value(
            (path or rest).strip("'\"").strip("{}"), value.strip("'\"") if path else None
        ), "condition met"
    raise UsageError(f'unrecognized condition: "{text}"' if text else 'required flag(s) "for" not set')


def _has_condition(name: str, value: str) -> Met:
    def met(obj: dict[str, Any] | None) -> bool:
        for condition in ((obj or {}).get("status") or {}).get("conditions") or ():
            if condition["type"].lower() == name.lower():
                observed = condition.get("observedGeneration", (obj or {})["status"].get("observedGeneration", 0))
                current = (obj or {})["metadata"].get("generation", 0)
                return bool(condition["status"].lower() == value.lower() and (not observed or observed >= current))
        return False

    return met


def _has_value(path: str, value: str | None) -> Met:
    def met(obj: dict[str, Any] | None) -> bool:
        if obj is None:
            return False
        try:
            found = jsonpath.find(path, obj)
        except jsonpath.PathError as error:
            raise UsageError(str(error)) from error
        return bool(found) and (value is None or jsonpath.shown(found[0]) == value)

    return met


def until(session: Session, target: Target, met: Met, deadline: float, *, may_be_missing: bool = False) -> bool:
    """Get, then watch from there; a watch that ends early begins again. False: `deadline` (monotonic) has passed.

    Raises ServerError, also where the object is missing and may not be.
    """
    path = target.type.path(target.namespace)
    query = {"fieldSelector": f"metadata.name={target.name}"}
    while True:
        listed = session.get(path, query)
        items = listed.get("items") or []
        if met(items[0] if items else None):
            return True
        if not items and not may_be_missing:
            session.get(target.path())  # raises NotFound, as kubectl does
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        version = listed["metadata"]["resourceVersion"]
        following = {**query, "resourceVersion": version, "timeoutSeconds": max(1, min(300, round(left)))}
        for event in session.watch(path, following):
            if event["type"] == "ERROR":
                break
            if met(None if event["type"] == "DELETED" else event["object"]):
                return True
            if time.monotonic() > deadline:
                return False


COMMAND = Command(
    usage="TYPE NAME --for=(delete | create | condition=NAME[=VALUE] | jsonpath='{PATH}'=VALUE)",
    help="Wait until objects meet a condition.",
    run=run,
    flags=(
        Flag("for", "what to wait for"),
        Flag("timeout", "give up after this time (30s; negative: a week)", kind="duration"),
        Flag("selector", "label selector", short="l"),
        Flag("field-selector", "field selector"),
        Flag("all", "all objects of the kinds in the namespace", kind="bool"),
    ),
    examples="""
wait pod/web-1 --for=condition=Ready --timeout=60s
wait deploy -l app=web --for=condition=Available
wait pod/web-1 --for=jsonpath='{.status.phase}'=Running
wait pod/web-1 --for=delete
""",
)
