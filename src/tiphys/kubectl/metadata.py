"""`kubectl label` and `kubectl annotate`: the same command for two maps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tiphys.kubectl import output, selection, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE
from tiphys.kubectl.resources import Target, fetch


def _runner(field: str, noun: str, done: str) -> Callable[[Context], int]:
    def run(context: Context) -> int:
        words = [word for word in context.words if not _is_change(word)]
        changes = [word for word in context.words if _is_change(word)]
        if not changes and not context.options["list"]:
            raise UsageError(f"at least one {noun} update is required")
        return max((_one(context, target, changes) for target in selection.named(context, words)), default=0)

    def _one(context: Context, target: Target, changes: list[str]) -> int:
        before = fetch(context.session, target)
        current: dict[str, str] = before["metadata"].get(field) or {}
        if context.options["list"]:
            for key, value in sorted(current.items()):
                print(f"{key}={value}")
            return 0
        wanted = _wanted(changes)
        for key, value in wanted.items():
            if value is not None and key in current and current[key] != value and not context.options["overwrite"]:
                print(f"error: '{key}' already has a value ({current[key]}), and --overwrite is false", file=sys.stderr)
                return 1
            if value is None and key not in current:
                print(f'{noun} "{key}" not found.')
        if all(current.get(key) == value for key, value in wanted.items()):
            print(f"{target.shown} not {done}")
            return 0
        patch = {"metadata": {field: wanted}}
        media = "application/merge-patch+json"
        after = context.session.send("PATCH", target.path(), patch, writing.query(context), content_type=media)
        removed_only = all(value is None for value in wanted.values())
        writing.tell(context, target, f"un{done}" if removed_only and noun == "label" else done, after)
        return 0

    return run


def _is_change(word: str) -> bool:
    """`key=value` or `key-`; `TYPE/NAME` words have neither."""
    return "=" in word or (word.endswith("-") and len(word) > 1)


def _wanted(changes: list[str]) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if equals:
            wanted[key] = value
        else:
            wanted[change[:-1]] = None
    return wanted


def _flags(manager: str) -> tuple[Flag, ...]:
    return (
        Flag("overwrite", "replace a value that is there", kind="bool"),
        selection.ALL,
        selection.ALL_NAMESPACES,
        selection.SELECTOR,
        selection.FIELD_SELECTOR,
        FILENAME,
        RECURSIVE,
        Flag("list", "show what is there", kind="bool"),
        writing.DRY_RUN,
        writing.field_manager(manager),
        *output.FLAGS,
    )


LABEL = Command(
    usage="TYPE NAME KEY=VALUE ... KEY- ...",
    help="Set, change (--overwrite) or remove (KEY-) labels.",
    run=_runner("labels", "label", "labeled"),
    flags=_flags("kubectl-label"),
    examples="label node node-1 disk=ssd\nlabel pods -l app=web tier-",
)
ANNOTATE = Command(
    usage="TYPE NAME KEY=VALUE ... KEY- ...",
    help="Set, change (--overwrite) or remove (KEY-) annotations.",
    run=_runner("annotations", "annotation", "annotated"),
    flags=_flags("kubectl-annotate"),
    examples="annotate deploy web owner=ada --overwrite",
)
