"""The annotation with what was applied last: client-side applies of other kubectls need it, and people look at it."""

from __future__ import annotations

import json
from typing import Any

from tiphys.kubectl import output, selection, writing
from tiphys.kubectl.command import Context
from tiphys.kubectl.flags import UsageError
from tiphys.kubectl.resources import Target, fetch

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
ANNOTATION_BYTES_MAX = 200 * 1024
"""What does not fit beside other annotations (256 KiB in all) is not remembered."""


def remembering(obj: dict[str, Any]) -> dict[str, Any]:
    """The manifest with itself as annotation."""
    text = _text(obj)
    if len(text) > ANNOTATION_BYTES_MAX:
        return obj
    metadata = obj["metadata"]
    return {**obj, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), ANNOTATION: text}}}


def _text(obj: dict[str, Any]) -> str:
    """As kubectl writes it: JSON in one line, keys sorted, without the annotation itself."""
    metadata = dict(obj["metadata"])
    metadata["annotations"] = {
        key: value for key, value in (metadata.get("annotations") or {}).items() if key != ANNOTATION
    }
    return json.dumps({**obj, "metadata": metadata}, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"


def view(context: Context, words: list[str]) -> int:
    """Print it, as YAML or with -o json."""
    form = str(context.options["output"] or "yaml")
    if form not in ("json", "yaml"):
        raise UsageError(f"Unexpected -o output mode: {form}, the flag 'output' must be one of yaml|json")
    for target in selection.named(context, words):
        text = _stored(context, target)
        if text is None:
            raise UsageError(f"no last-applied-configuration annotation found on resource: {target.name}")
        output.print_objects([json.loads(text)], form, listed=False)
    return 0


def store(context: Context, words: list[str]) -> int:
    """The manifests' objects get the manifests as annotation, and nothing else changes."""
    if words:
        raise UsageError("set-last-applied takes manifests only (-f)")

    def _set(context: Context, target: Target, obj: dict[str, Any]) -> None:
        if _stored(context, target) is None and not context.options["create-annotation"]:
            raise UsageError(
                f"no last-applied-configuration annotation found on resource: {target.name}, "
                "to create the annotation, run the command with --create-annotation"
            )
        _send(context, target, _text(obj))

    return selection.each(context, _set)


def edit(context: Context, words: list[str]) -> int:
    """The annotation in the user's editor."""
    from tiphys.kubectl.edit import in_editor, parsed

    for target in selection.named(context, words):
        text = _stored(context, target)
        if text is None:
            raise UsageError(f"no last-applied-configuration annotation found on resource: {target.name}")
        before = output.to_yaml(json.loads(text))
        after = in_editor(before)
        if after == before or not after.strip():
            raise UsageError("Edit cancelled, no changes made.")
        _send(context, target, _text(parsed(after)))
    return 0


def _stored(context: Context, target: Target) -> str | None:
    return (fetch(context.session, target)["metadata"].get("annotations") or {}).get(ANNOTATION)


def _send(context: Context, target: Target, text: str) -> None:
    if writing.dry_run(context) != "client":
        patch = {"metadata": {"annotations": {ANNOTATION: text}}}
        media = "application/merge-patch+json"
        context.session.send("PATCH", target.path(), patch, writing.query(context), content_type=media)
    writing.tell(context, target, "configured")
