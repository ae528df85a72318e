"""`kubectl cordon` and `kubectl uncordon`: whether a node takes new pods."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.kubectl import writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.resources import Target, fetch
from tiphys.kubectl.selection import listed

SELECTOR = Flag("selector", "label selector of nodes", short="l")


def nodes(context: Context) -> list[Target]:
    """The nodes that the words or the selector name. Raises UsageError."""
    kind = context.resources.find("nodes")
    if context.options["selector"]:
        if context.words:
            raise UsageError("cannot specify both a node name and a --selector option")
        return listed(context, kind)
    if not context.words:
        raise UsageError("USAGE: cordon NODE [flags]")
    return [Target(kind, word.removeprefix("nodes/").removeprefix("node/")) for word in context.words]


def set_unschedulable(context: Context, target: Target, wanted: bool) -> None:
    """Let no new pods come, or let them; tells what was done. Raises ServerError."""
    done = "cordoned" if wanted else "uncordoned"
    node = fetch(context.session, target)
    if bool(node["spec"].get("unschedulable")) == wanted:
        writing.tell(context, target, f"already {done}")
        return
    if writing.dry_run(context) != "client":
        patch = {"spec": {"unschedulable": True if wanted else None}}
        context.session.send(
            "PATCH", target.path(), patch, writing.query(context),
            content_type="application/merge-patch+json",
        )  # fmt: skip
    writing.tell(context, target, done)


def _runner(wanted: bool) -> Callable[[Context], int]:
    def run(context: Context) -> int:
        for target in nodes(context):
            set_unschedulable(context, target, wanted)
        return 0

    return run


_FLAGS = (SELECTOR, writing.DRY_RUN)
CORDON = Command("NODE ...", "Let no new pods come to nodes.", _runner(True), _FLAGS, "cordon node-1")
UNCORDON = Command("NODE ...", "Let pods come to nodes again.", _runner(False), _FLAGS, "uncordon node-1")
