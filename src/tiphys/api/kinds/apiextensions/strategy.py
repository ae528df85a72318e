"""What the server fills in of a definition, and what users may not set.

Source: apiextensions-apiserver/pkg/apis/apiextensions/v1/defaults.go,
.../pkg/registry/customresourcedefinition/strategy.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiphys.api.meta.schema import copy_of

if TYPE_CHECKING:
    from tiphys.api.kinds.apiextensions.customresourcedefinition import CustomResourceDefinition

_WEBHOOK_PORT = 443


def default(obj: CustomResourceDefinition) -> None:
    from tiphys.api.kinds.apiextensions.customresourcedefinition import CustomResourceConversion

    names = obj.spec.names
    names.singular = names.singular or names.kind.lower()
    if names.kind:
        names.list_kind = names.list_kind or names.kind + "List"
    conversion = obj.spec.conversion
    if conversion is None:
        obj.spec.conversion = CustomResourceConversion(strategy="None")
    elif conversion.webhook is not None and conversion.webhook.client_config is not None:
        service = conversion.webhook.client_config.service
        if service is not None and service.port is None:
            service.port = _WEBHOOK_PORT
    if not obj.status.stored_versions:
        _note_stored(obj)


def prepare(obj: CustomResourceDefinition, old: CustomResourceDefinition | None) -> None:
    """The status is the server's. The version in which objects are stored is remembered for ever."""
    obj.status = copy_of(old.status) if old is not None else type(obj.status)()
    _note_stored(obj)


def _note_stored(obj: CustomResourceDefinition) -> None:
    stored = next((version.name for version in obj.spec.versions if version.storage), "")
    if stored and stored not in obj.status.stored_versions:
        obj.status.stored_versions = [*obj.status.stored_versions, stored]


def prepare_status(obj: CustomResourceDefinition, old: CustomResourceDefinition) -> None:
    """Only the status; of metadata, what everybody may set on a status."""
    obj.spec = old.spec  # shared, as it is large, and nothing changes it below a status
