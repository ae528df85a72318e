"""`kubectl run`: one pod from a few words."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl import output, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.create import send
from tiphys.kubectl.flags import Flag, UsageError


def run(context: Context) -> int:
    """Create the pod; what stands behind `--` are its arguments, or with --command its command."""
    options = context.options
    if len(context.words) != 1:
        raise UsageError("exactly one NAME is required")
    if not options["image"]:
        raise UsageError("--image is required")
    name = context.words[0]
    container: dict[str, Any] = {"name": name, "image": options["image"]}
    if options.after_dashes:
        container["command" if options["command"] else "args"] = options.after_dashes
    if options["port"]:
        container["ports"] = [{"containerPort": options["port"]}]
    if options["env"]:
        container["env"] = [
            {"name": key, "value": value} for key, _, value in (e.partition("=") for e in options["env"])
        ]
    if options["image-pull-policy"]:
        container["imagePullPolicy"] = options["image-pull-policy"]
    labels = dict(pair.partition("=")[::2] for pair in options["labels"]) or {"run": name}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [container], "restartPolicy": options["restart"]},
    }
    send(context, pod)
    return 0


COMMAND = Command(
    usage="NAME --image=IMAGE [-- ARGS...]",
    help="Run one pod.",
    run=run,
    flags=(
        Flag("image", "the container's image"),
        Flag("command", "what stands behind -- is the command, not its arguments", kind="bool"),
        Flag("port", "the port that the container listens on", kind="int"),
        Flag("env", "NAME=VALUE", kind="array"),
        Flag("labels", "KEY=VALUE,...", short="l", kind="list"),
        Flag("restart", "Always, OnFailure or Never", default="Always"),
        Flag("image-pull-policy", "Always, IfNotPresent or Never"),
        writing.DRY_RUN,
        writing.field_manager("kubectl-run"),
        output.OUTPUT,
    ),
    examples="run web --image=hello:1 --port=8080\nrun once --image=busybox:1 --restart=Never -- date",
)
