"""`kubectl autoscale`: a HorizontalPodAutoscaler for a workload."""

from __future__ import annotations

import re
from typing import Any

from tiphys.kubectl import output, selection, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.create import send
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.resources import Target

_PERCENT = re.compile(r"^\d+%?$")


def run(context: Context) -> int:
    """One autoscaler for each object."""
    options = context.options
    if "max" not in options.given:
        raise UsageError('required flag(s) "max" not set')
    if options["max"] < 1:
        raise UsageError(f"--max=MAXPODS is required and must be at least 1, max: {options['max']}")
    if options["min"] > options["max"]:
        raise UsageError(
            f"--max=MAXPODS must be larger or equal to --min=MINPODS, max: {options['max']}, min: {options['min']}"
        )
    for target in selection.named(context):
        if "scale" not in target.type.subresources:
            where = f"{target.type.group}/{target.type.version}, Resource={target.type.plural}"
            raise UsageError(
                f"cannot autoscale a {target.type.kind}: could not find scale subresource for {where} in discovery "
                "information"
            )
        context.session.get(target.path())
        send(context, autoscaler(options, target), done="autoscaled")
    return 0


def autoscaler(options: Any, target: Target) -> dict[str, Any]:
    """Raises UsageError for an amount that is none."""
    name = str(options["name"] or target.name)
    metrics = [_metric(resource, str(options[resource])) for resource in ("cpu", "memory") if options[resource]]
    if options["cpu-percent"] >= 0 and not options["cpu"]:
        metrics.append(_metric("cpu", f"{options['cpu-percent']}%"))
    spec: dict[str, Any] = {
        "maxReplicas": options["max"],
        "scaleTargetRef": {"apiVersion": target.type.api_version, "kind": target.type.kind, "name": target.name},
    }
    if options["min"] > 0:
        spec["minReplicas"] = options["min"]
    if metrics:
        spec["metrics"] = metrics
    return {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec": spec,
    }  # fmt: skip


def _metric(resource: str, amount: str) -> dict[str, Any]:
    """`80%` of what is requested, or an amount such as 500m."""
    if amount.endswith("%"):
        if not _PERCENT.match(amount):
            raise UsageError(f'invalid value for --{resource}: "{amount}"')
        target: dict[str, Any] = {"type": "Utilization", "averageUtilization": int(amount[:-1])}
    else:
        target = {"type": "AverageValue", "averageValue": amount}
    return {"type": "Resource", "resource": {"name": resource, "target": target}}


COMMAND = Command(
    usage="TYPE NAME --max=MAXPODS [--min=MINPODS] [--cpu=80%]",
    help="Let the number of pods follow their load.",
    run=run,
    flags=(
        Flag("max", "at most so many pods", kind="int", default=-1),
        Flag("min", "at least so many pods", kind="int", default=-1),
        Flag("cpu", "wanted use: 80% of what is requested, or an amount such as 500m"),
        Flag("memory", "the same of memory"),
        Flag("cpu-percent", "the same as --cpu=N% (deprecated)", kind="int", default=-1),
        Flag("name", "the autoscaler's name (that of the object)"),
        writing.DRY_RUN,
        writing.field_manager("kubectl-autoscale"),
        *output.FLAGS,
    ),
    examples="autoscale deployment web --min=2 --max=10 --cpu=80%",
)
