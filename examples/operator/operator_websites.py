"""A small operator with kopf: each Website gets a Deployment and a Service of its name, and says how many are ready.

Run it against any cluster: `kopf run operator_websites.py --all-namespaces`. Its tests: `pytest` in this directory.
"""

from __future__ import annotations

from typing import Any

import kopf
import kubernetes
from kubernetes.client.rest import ApiException

GROUP, VERSION, PLURAL = "example.tiphys.dev", "v1", "websites"
PORT = 80


def deployment(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The Deployment that a Website wants."""
    labels = {"website": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": spec.get("replicas", 2),
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": spec["image"], "ports": [{"containerPort": PORT}]}]},
            },
        },
    }


def service(name: str) -> dict[str, Any]:
    """The Service that leads to it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"website": name}, "ports": [{"port": PORT}]},
    }


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.enabled = False
    settings.persistence.finalizer = f"{GROUP}/operator"


@kopf.on.create(GROUP, VERSION, PLURAL)
@kopf.on.update(GROUP, VERSION, PLURAL, field="spec")
@kopf.on.resume(GROUP, VERSION, PLURAL)
def reconcile(name: str, namespace: str, spec: kopf.Spec, **_: Any) -> None:
    """What is wanted, is there. Refusals of the moment are tried again in a second."""
    children = [deployment(name, dict(spec)), service(name)]
    for child in children:
        kopf.adopt(child)
    try:
        for child in children:
            _apply(child, namespace)
    except ApiException as error:
        if error.status in (409, 429) or error.status >= 500:
            raise kopf.TemporaryError(f"{error.status} {error.reason}", delay=1) from error
        raise kopf.PermanentError(str(error)) from error


def _apply(child: dict[str, Any], namespace: str) -> None:
    name = child["metadata"]["name"]
    if child["kind"] == "Deployment":
        api: Any = kubernetes.client.AppsV1Api()
        create, patch = api.create_namespaced_deployment, api.patch_namespaced_deployment
    else:
        api = kubernetes.client.CoreV1Api()
        create, patch = api.create_namespaced_service, api.patch_namespaced_service
    try:
        create(namespace, child)
    except ApiException as error:
        if error.status != 409:
            raise
        patch(name, namespace, child)


@kopf.on.event("apps", "v1", "deployments", labels={"website": kopf.PRESENT})
def report(body: kopf.Body, namespace: str, labels: dict[str, str], **_: Any) -> None:
    """The Website's status follows its Deployment."""
    ready = body.get("status", {}).get("readyReplicas", 0)
    try:
        kubernetes.client.CustomObjectsApi().patch_namespaced_custom_object_status(
            GROUP, VERSION, namespace, PLURAL, labels["website"], {"status": {"ready": ready}}
        )
    except ApiException as error:
        if error.status != 404:
            raise
