"""`kubectl scale`."""

from __future__ import annotations

from tiphys.kubectl import output, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE, read
from tiphys.kubectl.resources import Target


def run(context: Context) -> int:
    """Set the count through the scale subresource, which every scalable kind has."""
    options = context.options
    if "replicas" not in options.given or options["replicas"] < 0:
        raise UsageError("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0")
    if options["filename"]:
        objects = read(options["filename"], recursive=options["recursive"])
        targets = [Target(context.resources.for_object(obj), obj["metadata"]["name"]) for obj in objects]
    else:
        _, targets = context.resources.targets(context.words)
    if not targets:
        raise UsageError("resource(s) were provided, but no name was specified")
    for target in targets:
        _scale(context, target)
    return 0


def _scale(context: Context, target: Target) -> None:
    path = target.type.path(context.namespace if target.type.namespaced else "", target.name, "scale")
    expected = context.options["current-replicas"]
    if expected >= 0:
        current = context.session.get(path)["spec"].get("replicas", 0)
        if current != expected:
            raise UsageError(f"Expected replicas to be {expected}, was {current}")
    patch = {"spec": {"replicas": context.options["replicas"]}}
    media = "application/merge-patch+json"
    after = context.session.send("PATCH", path, patch, writing.query(context), content_type=media)
    writing.tell(context, target, "scaled", after)


COMMAND = Command(
    usage="--replicas=COUNT TYPE NAME",
    help="Set how many pods a deployment or replica set shall have.",
    run=run,
    flags=(
        Flag("replicas", "the wanted count", kind="int", default=-1),
        Flag("current-replicas", "only if the count is this now", kind="int", default=-1),
        FILENAME,
        RECURSIVE,
        writing.DRY_RUN,
        writing.field_manager("kubectl-scale"),
        output.OUTPUT,
    ),
    examples="scale deploy web --replicas=3",
)
