"""`kubectl diff`: what applying the manifests would change."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tiphys.kubectl import output, selection
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.last_applied import ANNOTATION
from tiphys.kubectl.manifests import FILENAME, RECURSIVE
from tiphys.kubectl.resources import is_missing
from tiphys.kubectl.session import ServerError


def run(context: Context) -> int:
    """0: nothing; 1: something; more: an error. The program of $KUBECTL_EXTERNAL_DIFF shows it."""
    objects = selection.manifests(context)
    with tempfile.TemporaryDirectory(prefix="LIVE-") as live, tempfile.TemporaryDirectory(prefix="MERGED-") as merged:
        for obj in objects:
            try:
                name, before, after = _both(context, obj)
            except ServerError as error:
                print(error.shown(), file=sys.stderr)
                return 2
            _write(Path(live) / name, before)
            _write(Path(merged) / name, after)
        return _compare(live, merged)


def _both(context: Context, obj: dict[str, Any]) -> tuple[str, dict[str, Any] | None, dict[str, Any]]:
    """(file name, the object as it is, as it would be)"""
    target = selection.placed(context, obj)
    try:
        before = context.session.get(target.path())
    except ServerError as error:
        if not is_missing(error):
            raise
        before = None
    query = {
        "dryRun": "All", "fieldManager": context.options["field-manager"],
        "force": "true" if not context.options["server-side"] or context.options["force-conflicts"] else "false",
    }  # fmt: skip
    after = context.session.send("PATCH", target.path(), obj, query, content_type="application/apply-patch+yaml")
    if not context.options["show-managed-fields"]:
        before, after = before and output.without_managed(before), output.without_managed(after)
    kind = target.type
    name = ".".join(part for part in (kind.group, kind.version, kind.kind, target.namespace, target.name) if part)
    return name, _masked(before), _masked(after) or {}


def _masked(obj: dict[str, Any] | None) -> dict[str, Any] | None:
    """Secrets are not shown: equal ones stay equal, others differ."""
    if obj is None:
        return None
    annotations = obj["metadata"].get("annotations")
    if annotations and ANNOTATION in annotations:
        kept = {key: value for key, value in annotations.items() if key != ANNOTATION}
        obj = {**obj, "metadata": {**obj["metadata"], "annotations": kept}}
    if obj.get("kind") == "Secret" and obj.get("data"):
        import hashlib

        seen = {key: f"*** ({hashlib.sha256(value.encode()).hexdigest()[:8]})" for key, value in obj["data"].items()}
        obj = {**obj, "data": seen}
    return obj


def _write(path: Path, obj: dict[str, Any] | None) -> None:
    path.write_text("" if obj is None else output.to_yaml(obj))
    path.chmod(0o600)


def _compare(live: str, merged: str) -> int:
    program = shlex.split(os.environ.get("KUBECTL_EXTERNAL_DIFF") or "diff -u -N")
    sys.stdout.flush()
    try:
        return subprocess.run([*program, live, merged], check=False).returncode
    except OSError as error:
        raise UsageError(f"failed to run {program[0]!r}: {error.strerror}") from error


COMMAND = Command(
    usage="-f FILE",
    help="Show what applying manifests would change. The exit code is 1 when something would.",
    run=run,
    flags=(
        FILENAME,
        RECURSIVE,
        Flag("server-side", "conflicts with other managers are errors", kind="bool"),
        Flag("force-conflicts", "with --server-side: take over what others own", kind="bool"),
        Flag("field-manager", "who would own the fields", default="kubectl"),
        output.SHOW_MANAGED,
    ),
    examples="diff -f web.yaml",
)
