"""Deployments, jobs and cron jobs."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl.command import Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.generators.common import Generator, new, one_name, required


def _deployment(context: Context, names: list[str]) -> dict[str, Any]:
    name, options = one_name("deployment", names), context.options
    required(context, "image")
    labels = {"app": name}
    containers = []
    for image in options["image"]:
        container = _container(image.rpartition("/")[2].partition("@")[0].partition(":")[0], image, context)
        if options["port"]:
            container["ports"] = [{"containerPort": options["port"]}]
        containers.append(container)
    deployment = new("apps/v1", "Deployment", name)
    deployment["metadata"]["labels"] = labels
    deployment["spec"] = {
        "replicas": options["replicas"],
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
    }
    return deployment


def _container(name: str, image: str, context: Context) -> dict[str, Any]:
    container: dict[str, Any] = {"name": name.replace("_", "-").replace(".", "-").lower(), "image": image}
    if context.options.after_dashes:
        container["command"] = context.options.after_dashes
    return container


def _job(context: Context, names: list[str]) -> dict[str, Any]:
    name, options = one_name("job", names[:1]), context.options
    if bool(options["image"]) == bool(options["from"]):
        raise UsageError("either --image or --from must be specified")
    context.options.after_dashes = [*names[1:], *context.options.after_dashes]
    if options["image"]:
        return new("batch/v1", "Job", name, spec=_job_spec(context, name, "Never"))
    kind, _, source = str(options["from"]).partition("/")
    found = context.resources.find(kind)
    if found.kind != "CronJob" or not source:
        raise UsageError(f"from must be an existing cronjob: {options['from']}")
    cron = context.session.get(found.path(context.namespace, source))
    template = cron["spec"]["jobTemplate"]
    job = new("batch/v1", "Job", name, spec=template["spec"])
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    job["metadata"]["annotations"] = {**annotations, "cronjob.kubernetes.io/instantiate": "manual"}
    if labels := (template.get("metadata") or {}).get("labels"):
        job["metadata"]["labels"] = labels
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": source, "uid": cron["metadata"]["uid"]}
    job["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    return job


def _cron_job(context: Context, names: list[str]) -> dict[str, Any]:
    name = one_name("cronjob", names[:1])
    required(context, "image", "schedule")
    context.options.after_dashes = [*names[1:], *context.options.after_dashes]
    template = {"metadata": {"name": name}, "spec": _job_spec(context, name, context.options["restart"] or "OnFailure")}
    spec = {"schedule": context.options["schedule"], "jobTemplate": template}
    return new("batch/v1", "CronJob", name, spec=spec)


def _job_spec(context: Context, name: str, restart: str) -> dict[str, Any]:
    container = _container(name, context.options["image"][0], context)
    return {"template": {"spec": {"containers": [container], "restartPolicy": restart}}}


GENERATORS: dict[str, Generator] = {
    "deployment": _deployment, "deploy": _deployment, "job": _job, "cronjob": _cron_job, "cj": _cron_job,
}  # fmt: skip
FLAGS = (
    Flag("image", "deployment, job, cronjob: image of each container", kind="list"),
    Flag("replicas", "deployment: how many pods", short="r", kind="int", default=1),
    Flag("port", "deployment: the port that the container listens on", kind="int"),
    Flag("from", "job: cronjob/NAME whose template it shall have"),
    Flag("schedule", "cronjob: when, for example '0 3 * * *'"),
    Flag("restart", "cronjob: OnFailure or Never"),
)
