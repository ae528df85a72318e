"""OwnerReferencesPermissionEnforcement: who makes an object depend on another must have power over both.

Source: plugin/pkg/admission/gc.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api.errors import ApiError
from tiphys.api.kind import Kind
from tiphys.api.kinds import KINDS
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.registry.interface import AdmissionRequest
from tiphys.apiserver.request import RequestInfo


class OwnerReferencesPermissionEnforcement(Plugin):
    name = "OwnerReferencesPermissionEnforcement"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and kind.stored and not subresource

    async def validate(self, request: AdmissionRequest) -> None:
        new = request.obj.metadata.owner_references
        old = request.old.metadata.owner_references if request.old is not None else []
        if new == old:
            return
        kind = request.kind
        if request.operation != "CREATE":
            why = await self._refusal(request, "delete", kind.group, kind.version, kind.plural, "", request.name)
            if why:
                raise refuse(request, f"cannot set an ownerRef on a resource you can't delete: {why}")
        blocking = {ref.uid for ref in old if ref.block_owner_deletion}
        fresh = [ref for ref in new if ref.block_owner_deletion and ref.uid not in blocking]
        if not fresh or not await self._refusal(request, "update", "*", "*", "*", "finalizers", "*"):
            return
        for ref in fresh:
            await self._check_owner(request, ref)

    async def _check_owner(self, request: AdmissionRequest, ref: Any) -> None:
        owners = list(_kinds_of(ref))
        if not owners:
            raise refuse(
                request,
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion "
                f'{ref.api_version} Kind {ref.kind}: no matches for kind "{ref.kind}" in version '
                f'"{ref.api_version}"',
            )
        for owner in owners:
            why = await self._refusal(
                request, "update", owner.group, owner.version, owner.plural, "finalizers", ref.name
            )
            if why:
                raise refuse(
                    request,
                    "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers "
                    f"on: {why}",
                )

    async def _refusal(
        self, request: AdmissionRequest, verb: str, group: str, version: str, resource: str, sub: str, name: str
    ) -> str:
        """Why the user may not; empty where they may."""
        info = RequestInfo(
            verb=verb, path="", is_resource=True, group=group, version=version, resource=resource, subresource=sub,
            namespace=request.namespace, name=name,
        )  # fmt: skip
        try:
            await self._authorizer.check(request.user, info)
        except ApiError as error:
            return error.message
        return ""


def _kinds_of(ref: Any) -> Iterable[Kind[Any]]:
    return (kind for kind in KINDS if (kind.kind, kind.api_version) == (ref.kind, ref.api_version))
