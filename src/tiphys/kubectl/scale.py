"""`kubectl scale`."""

from __future__ import annotations

import time
from typing import Any

from tiphys.kubectl import output, selection, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE
from tiphys.kubectl.resources import Target
from tiphys.kubectl.wait import until


def run(context: Context) -> int:
    """Set the count through the scale subresource, which every scalable kind has."""
    options = context.options
    if "replicas" not in options.given or options["replicas"] < 0:
        raise UsageError("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0")
    for target in selection.named(context):
        _scale(context, target)
    return 0


def _scale(context: Context, target: Target) -> None:
    path = target.path("scale")
    expected = context.options["current-replicas"]
    if expected >= 0:
        current = context.session.get(path)["spec"].get("replicas", 0)
        if current != expected:
            raise UsageError(f"Expected replicas to be {expected}, was {current}")
    patch = {"spec": {"replicas": context.options["replicas"]}}
    media = "application/merge-patch+json"
    after = context.session.send("PATCH", path, patch, writing.query(context), content_type=media)
    writing.tell(context, target, "scaled", after)
    if context.options["timeout"] and writing.dry_run(context) == "none":
        _wait(context, target)


def _wait(context: Context, target: Target) -> None:
    """Until there are as many as wanted, as the object itself says. Raises UsageError."""

    def met(obj: dict[str, Any] | None) -> bool:
        status = (obj or {}).get("status") or {}
        seen = status.get("observedGeneration", 0) >= ((obj or {}).get("metadata") or {}).get("generation", 0)
        return bool(seen and status.get("replicas", 0) == context.options["replicas"])

    if not until(context.session, target, met, time.monotonic() + context.options["timeout"]):
        raise UsageError(f'timed out waiting for "{target.name}" to be synced')


COMMAND = Command(
    usage="--replicas=COUNT TYPE NAME",
    help="Set how many pods a deployment or replica set shall have.",
    run=run,
    flags=(
        Flag("timeout", "wait this long for the pods (0: not at all)", kind="duration"),
        Flag("replicas", "the wanted count", kind="int", default=-1),
        Flag("current-replicas", "only if the count is this now", kind="int", default=-1),
        FILENAME,
        RECURSIVE,
        selection.ALL,
        selection.SELECTOR,
        writing.DRY_RUN,
        writing.field_manager("kubectl-scale"),
        *output.FLAGS,
    ),
    examples="scale deploy web --replicas=3",
)
