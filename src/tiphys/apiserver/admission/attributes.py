"""A request as webhooks and expressions see it: the AdmissionRequest of admission.k8s.io, in plain values.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/request/admissionreview.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api import codec
from tiphys.api.kind import Kind
from tiphys.api.kinds import NAMESPACE
from tiphys.apiserver.registry.interface import AdmissionRequest

_META = "meta.k8s.io/v1"
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions"}
_CONFIGURES_ADMISSION = frozenset({
    "validatingwebhookconfigurations", "mutatingwebhookconfigurations", "validatingadmissionpolicies",
    "validatingadmissionpolicybindings", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
})  # fmt: skip


def configures_admission(kind: Kind[Any]) -> bool:
    """Whether objects of this kind decide on others: no webhook and no policy is asked about them."""
    return kind.group == "admissionregistration.k8s.io" and kind.plural in _CONFIGURES_ADMISSION


def namespace_of(request: AdmissionRequest) -> str:
    """The request's namespace; a namespace lies in itself."""
    return object_name(request) if request.kind is NAMESPACE else request.namespace


def object_name(request: AdmissionRequest) -> str:
    if request.name or request.obj is None or isinstance(request.obj, dict):
        return request.name
    return str(request.obj.metadata.name)


def travelling(request: AdmissionRequest) -> dict[str, str]:
    """Group, version and kind of the object in the request: of a subresource it may be another than the parent's."""
    obj = request.obj if request.obj is not None else request.old
    if isinstance(obj, dict):
        kind, api_version = str(obj.get("kind", "")), str(obj.get("apiVersion", ""))
    else:
        kind, api_version = getattr(obj, "kind", ""), getattr(obj, "api_version", "")
    if not request.subresource or not kind or not api_version:
        return of_kind(request.kind)
    group, _, version = api_version.rpartition("/")
    return {"group": group, "version": version, "kind": kind}


def of_kind(kind: Kind[Any]) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def resource_of(kind: Kind[Any]) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "resource": kind.plural}


def user_of(request: AdmissionRequest) -> dict[str, Any]:
    user = request.user
    found: dict[str, Any] = {"username": user.name}
    if user.uid:
        found["uid"] = user.uid
    if user.groups:
        found["groups"] = list(user.groups)
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra.items()}
    return found


def options_of(request: AdmissionRequest) -> Mapping[str, Any] | None:
    """The verb's options as an object; None where the verb has none."""
    if request.operation == "DELETE":
        stated = codec.to_json(request.options) if request.options is not None else {}
        return {**stated, "kind": "DeleteOptions", "apiVersion": _META}
    name = _OPTIONS.get(request.operation)
    if name is None:
        return None
    options: dict[str, Any] = {"kind": name, "apiVersion": _META}
    if request.dry_run:
        options["dryRun"] = ["All"]
    if request.field_manager:
        options["fieldManager"] = request.field_manager
    if request.field_validation:
        options["fieldValidation"] = request.field_validation
    return options


def attributes_of(request: AdmissionRequest, used: Kind[Any]) -> dict[str, Any]:
    """Everything but uid, object and oldObject. `used` is the version in which the object is shown."""
    original = travelling(request)
    shown = original if used == request.kind else of_kind(used)
    found: dict[str, Any] = {"kind": shown, "resource": resource_of(used)}
    if request.subresource:
        found["subResource"] = request.subresource
    found["requestKind"] = original
    found["requestResource"] = resource_of(request.kind)
    if request.subresource:
        found["requestSubResource"] = request.subresource
    name, namespace = object_name(request), namespace_of(request)
    if name:
        found["name"] = name
    if namespace:
        found["namespace"] = namespace
    found["operation"] = request.operation
    found["userInfo"] = user_of(request)
    found["dryRun"] = request.dry_run
    found["options"] = options_of(request)
    return found
