"""A workload's earlier templates: replica sets of a deployment, controller revisions of the other kinds.

Source: k8s.io/kubectl pkg/polymorphichelpers (history.go, rollback.go).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tiphys.kubectl.command import Context
from tiphys.kubectl.describe.writer import selector_text
from tiphys.kubectl.resources import Target
from tiphys.kubectl.rollout_status import REVISION

CHANGE_CAUSE = "kubernetes.io/change-cause"


@dataclass(frozen=True, slots=True)
class Revision:
    """One of them; `obj` is what holds it."""

    number: int
    obj: dict[str, Any]
    template: dict[str, Any]

    @property
    def cause(self) -> str:
        return str((self.obj["metadata"].get("annotations") or {}).get(CHANGE_CAUSE, "<none>"))


def revisions(context: Context, target: Target, workload: dict[str, Any]) -> dict[int, Revision]:
    """By number; the highest is the current one. Raises ServerError."""
    plural = "replicasets" if workload["kind"] == "Deployment" else "controllerrevisions"
    query = {"labelSelector": selector_text(workload["spec"]["selector"])}
    listed = context.session.get(f"/apis/apps/v1/namespaces/{target.namespace}/{plural}", query)
    own = [item for item in listed.get("items") or () if _is_owned(item, workload["metadata"]["uid"])]
    return {revision.number: revision for revision in map(_read, own)}


def _is_owned(item: dict[str, Any], uid: str) -> bool:
    return any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences") or ())


def _read(item: dict[str, Any]) -> Revision:
    if "revision" in item:
        return Revision(int(item["revision"]), item, item["data"]["spec"]["template"])
    number = int((item["metadata"].get("annotations") or {}).get(REVISION, 0))
    return Revision(number, item, item["spec"]["template"])


def rollback(revision: Revision) -> tuple[str, Any]:
    """(media type, patch) that make the revision's template the wanted one."""
    if "revision" in revision.obj:
        return "application/strategic-merge-patch+json", revision.obj["data"]
    metadata = dict(revision.template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != "pod-template-hash"}
    template = {**revision.template, "metadata": {**metadata, "labels": labels}}
    return "application/json-patch+json", [{"op": "replace", "path": "/spec/template", "value": template}]
