"""`kubectl edit`: an object as YAML in the user's editor, and back as a patch of what changed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tiphys.kubectl import output, selection, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE
from tiphys.kubectl.resources import Target, fetch
from tiphys.kubectl.session import ServerError

_HEAD = """# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
"""
_TRIES_MAX = 10


def run(context: Context) -> int:
    """Edit each object in turn; a refused edit is shown again with the reason, until it is saved unchanged."""
    for target in selection.named(context):
        _edit(context, target)
    return 0


def _edit(context: Context, target: Target) -> None:
    before = output.without_managed(fetch(context.session, target))
    text = output.to_yaml(before)
    refusal = ""
    for _ in range(_TRIES_MAX):
        edited = in_editor(_HEAD + _commented(refusal) + text)
        if not edited.strip():
            raise UsageError("Edit cancelled, saved file was empty.")
        if edited == text:
            print("Edit cancelled, no changes made." if not refusal else f"error: {refusal}", file=sys.stderr)
            return
        try:
            after = parsed(edited)
            _send(context, target, before, after)
        except (ServerError, UsageError) as error:
            refusal = error.shown() if isinstance(error, ServerError) else str(error)
            text = edited
            continue
        return
    raise UsageError(refusal)


def _send(context: Context, target: Target, before: dict[str, Any], after: dict[str, Any]) -> None:
    patch = difference(before, after)
    if not patch:
        print("Edit cancelled, no changes made.", file=sys.stderr)
        return
    # Bound to the version that was edited: somebody else's change in between is a conflict, never overwritten.
    patch.setdefault("metadata", {})["resourceVersion"] = before["metadata"]["resourceVersion"]
    context.session.send(
        "PATCH",
        target.path(),
        json.dumps(patch).encode(),
        writing.query(context),
        content_type="application/merge-patch+json",
    )
    print(f"{target.shown} edited")


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The merge patch (RFC 7386) that makes `after` of `before`."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            inner = difference(old, value)
            if inner:
                patch[key] = inner
        elif key not in before or old != value:
            patch[key] = value
    return patch


def parsed(text: str) -> dict[str, Any]:
    from tiphys.api.codec_yaml import parse_yaml

    try:
        value, duplicates = parse_yaml(text.encode())
    except ValueError as error:
        raise UsageError(f"The edited file had a syntax error: {error}") from error
    if duplicates or not isinstance(value, dict):
        raise UsageError(f"The edited file had a syntax error: {duplicates[0] if duplicates else 'not an object'}")
    return value


def _commented(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines()) + ("#\n" if text else "")


def in_editor(text: str) -> str:
    """The text after the user's editor, without comment lines. Raises UsageError when the editor fails."""
    editor = os.environ.get("KUBE_EDITOR") or os.environ.get("EDITOR") or "vi"
    descriptor, name = tempfile.mkstemp(prefix="tiphys-edit-", suffix=".yaml")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        try:
            result = subprocess.run([*shlex.split(editor), name], check=False)
        except OSError as error:
            raise UsageError(f"unable to launch the editor {editor!r}: {error.strerror}") from error
        if result.returncode:
            raise UsageError(f"there was a problem with the editor {editor!r}")
        return "".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("#"))
    finally:
        path.unlink(missing_ok=True)


COMMAND = Command(
    usage="TYPE NAME",
    help="Change an object in your editor ($KUBE_EDITOR, $EDITOR, vi).",
    run=run,
    flags=(FILENAME, RECURSIVE, selection.SELECTOR, writing.VALIDATE, writing.field_manager("kubectl-edit")),
    examples="edit deploy web\nKUBE_EDITOR=nano tiphys kubectl edit cm site",
)
