"""`kubectl taint`."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl import output, selection, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.resources import Target, fetch

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
Taint = dict[str, Any]


def run(context: Context) -> int:
    """Add taints (`KEY=VALUE:EFFECT`), or take some away (`KEY-`, `KEY:EFFECT-`)."""
    words = [word for word in context.words if not _is_change(word)]
    changes = [word for word in context.words if _is_change(word)]
    if not changes:
        raise UsageError("at least one taint update is required")
    added = [_taint(word) for word in changes if not word.endswith("-")]
    removed = [_taint(word[:-1], removing=True) for word in changes if word.endswith("-")]
    both = {(t["key"], t["effect"]) for t in added} & {(t["key"], t["effect"]) for t in removed}
    if both:
        shown = ", ".join(f'{{"{key}":"{effect}"}}' for key, effect in sorted(both))
        raise UsageError(f"can not both modify and remove the following taint(s) in the same command: {shown}")
    for target in _nodes(context, words):
        _one(context, target, added, removed)
    return 0


def _nodes(context: Context, words: list[str]) -> list[Target]:
    kinds, targets = context.resources.targets(words)
    for kind in (*kinds, *(target.type for target in targets)):
        if kind.kind != "Node":
            raise UsageError(f"invalid resource type {kind.singular}, only node types are supported")
    return selection.named(context, words)


def _one(context: Context, target: Target, added: list[Taint], removed: list[Taint]) -> None:
    node = fetch(context.session, target)
    before: list[Taint] = node["spec"].get("taints") or []
    after = changed(target.name, before, added, removed, overwrite=context.options["overwrite"])
    patch = {
        "metadata": {"resourceVersion": node["metadata"]["resourceVersion"]},
        "spec": {"taints": after or None},
    }
    media = "application/merge-patch+json"
    sent = context.session.send("PATCH", target.path(), patch, writing.query(context), content_type=media)
    done = "modified" if added and removed else "tainted" if added else "untainted"
    writing.tell(context, target, done, sent)


def changed(
    name: str, before: list[Taint], added: list[Taint], removed: list[Taint], *, overwrite: bool
) -> list[Taint]:
    """The taints of a node afterwards. Raises UsageError where one is there already, or is not there."""
    known = {(taint["key"], taint["effect"]) for taint in before}
    for taint in added:
        if (taint["key"], taint["effect"]) in known and not overwrite:
            raise UsageError(
                f"node {name} already has {taint['key']} taint(s) with same effect(s) and --overwrite is false"
            )
    for taint in removed:
        if not any(_meant(taint, other) for other in before):
            shown = f"{taint['key']}:{taint['effect']}" if taint["effect"] else taint["key"]
            raise UsageError(f'taint "{shown}" not found')
    new = {(taint["key"], taint["effect"]) for taint in added}
    kept = [
        taint
        for taint in before
        if (taint["key"], taint["effect"]) not in new and not any(_meant(gone, taint) for gone in removed)
    ]
    return [*added, *kept]


def _meant(wanted: Taint, taint: Taint) -> bool:
    return bool(wanted["key"] == taint["key"] and wanted["effect"] in ("", taint["effect"]))


def _is_change(word: str) -> bool:
    return "=" in word or ":" in word or (word.endswith("-") and len(word) > 1)


def _taint(word: str, *, removing: bool = False) -> Taint:
    """Raises UsageError in kubectl's words."""
    left, colon, effect = word.partition(":")
    key, equals, value = left.partition("=")
    if removing and not colon:
        return {"key": key, "effect": ""}
    if not colon or not key or ":" in effect:
        raise UsageError(f"invalid taint spec: {word}")
    if effect not in EFFECTS:
        raise UsageError(f"invalid taint effect: {effect}, unsupported taint effect")
    return {"key": key, "effect": effect, **({"value": value} if equals and value else {})}


COMMAND = Command(
    usage="NODE NAME KEY[=VALUE]:EFFECT ... KEY[:EFFECT]- ...",
    help="Keep pods away from nodes: add taints, or take them away (KEY-). Effects: " + ", ".join(EFFECTS) + ".",
    run=run,
    flags=(
        Flag("overwrite", "replace a taint of the same key and effect", kind="bool"),
        Flag("all", "all nodes", kind="bool"),
        selection.SELECTOR,
        writing.DRY_RUN,
        writing.field_manager("kubectl-taint"),
        *output.FLAGS,
    ),
    examples="taint node node-1 dedicated=db:NoSchedule\ntaint nodes --all dedicated-",
)
