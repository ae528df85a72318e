"""What a write is allowed, but had better not say: the texts of `Warning` headers, by kind. Pure.

Source: the WarningsOnCreate and WarningsOnUpdate of pkg/registry/*/*/strategy.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.warnings import others, secrets
from tiphys.api.warnings.pods import pod_warnings, template_warnings

Warnings = Callable[[Any, Any], Iterator[str]]
"""(new, old or None) -> warnings."""


def _of_pod(new: Any, old: Any) -> Iterator[str]:
    """Not on updates: pods are mostly written by components, which read no warnings."""
    return pod_warnings(new.metadata, new.spec, "") if old is None else iter(())


def _below(path: str, find: Callable[[Any], Any]) -> Warnings:
    """Warnings of a kind with a pod template at `path`, when it is new or changed."""

    def warnings(new: Any, old: Any) -> Iterator[str]:
        template = find(new)
        if template is not None and (old is None or find(old) != template):
            yield from template_warnings(template, path)

    return warnings


def _spec_template(obj: Any) -> Any:
    return obj.spec.template


_BY_RESOURCE: Mapping[str, Warnings] = {
    "pods": _of_pod,
    "podtemplates": _below("template", lambda obj: obj.template),
    "replicationcontrollers": _below("spec.template", _spec_template),
    "replicasets.apps": _below("spec.template", _spec_template),
    "deployments.apps": _below("spec.template", _spec_template),
    "daemonsets.apps": _below("spec.template", _spec_template),
    "statefulsets.apps": _below("spec.template", _spec_template),
    "jobs.batch": _below("spec.template", _spec_template),
    "cronjobs.batch": _below("spec.jobTemplate.spec.template", lambda obj: obj.spec.job_template.spec.template),
    "customresourcedefinitions.apiextensions.k8s.io": others.definition_warnings,
    "endpointslices.discovery.k8s.io": others.endpoint_slice_warnings,
    "ingresses.networking.k8s.io": others.ingress_warnings,
    "secrets": secrets.warnings,
    "services": others.service_warnings,
    "nodes": others.node_warnings,
    "persistentvolumeclaims": others.claim_warnings,
    "persistentvolumes": others.volume_warnings,
    "runtimeclasses.node.k8s.io": others.runtime_class_warnings,
    "storageclasses.storage.k8s.io": others.storage_class_warnings,
}


def warnings_of(kind: Kind[Any], new: Any, old: Any) -> list[str]:
    """Of the object itself, when it is created (`old` None) or updated; subresources have none."""
    warnings = others.custom_warnings if kind.custom is not None else _BY_RESOURCE.get(kind.group_resource)
    return [] if warnings is None else list(warnings(new, old))
