"""ServiceAccount. Source: staging/src/k8s.io/api/core/v1/types.go, pkg/registry/core/serviceaccount."""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.core.references import LocalObjectReference, ObjectReference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import proto


class ServiceAccount(Resource):
    """Who a pod is to the API server."""

    secrets: Annotated[list[ObjectReference], proto(2, merge_key="name", list_type="map", list_map_keys=("name",))] = []
    image_pull_secrets: Annotated[list[LocalObjectReference], proto(3, list_type="atomic")] = []
    automount_service_account_token: Annotated[bool | None, proto(4)] = None


def _prepare(account: ServiceAccount, _old: ServiceAccount | None) -> None:
    """Only the names of secrets are kept."""
    account.secrets = [ObjectReference(name=secret.name) for secret in account.secrets]


SERVICEACCOUNT = Kind(
    group="",
    version="v1",
    kind="ServiceAccount",
    plural="serviceaccounts",
    schema=ServiceAccount,
    short_names=("sa",),
    subresources=(Subresource("token", ("create",), "TokenRequest", "authentication.k8s.io", "v1"),),
    prepare=_prepare,
    columns=(NAME, AGE),
)
