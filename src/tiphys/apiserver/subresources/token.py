"""serviceaccounts/token: a TokenRequest answered with a fresh token.

Source: pkg/registry/core/serviceaccount/storage/token.go, pkg/apis/authentication/validation.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tiphys.api import errors
from tiphys.api.errors import BadRequest, FieldError, invalid_object, object_conflict
from tiphys.api.kinds import NODE, POD, SECRET, SERVICEACCOUNT
from tiphys.apiserver.admission.service_account import TOKEN_LIFETIME_S
from tiphys.apiserver.chain.serviceaccounts import Bound
from tiphys.apiserver.registry.interface import AdmissionRequest, WriteOptions
from tiphys.apiserver.verbs.context import Context
from tiphys.base.clock import rfc3339

GROUP = "authentication.k8s.io"
_KIND = "TokenRequest"
_SHORTEST_S = 600
_LONGEST_S = 1 << 32
_EXTENDED_S = 365 * 24 * 3600
_DEFAULT_S = 3600


async def issue(context: Context, namespace: str, name: str, request: Any, opts: WriteOptions) -> Any:
    """The request with its status filled in. Raises NotFound, Conflict, Invalid, BadRequest."""
    meta = request.metadata
    for field, stated, wanted in (("name", meta.name, name), ("namespace", meta.namespace, namespace)):
        if stated and stated != wanted:
            error = errors.invalid(f"metadata.{field}", stated, f"must match the service account {field} if specified")
            raise invalid_object(GROUP, _KIND, name, [error])
    account = (await context.registry.get(SERVICEACCOUNT, namespace, name)).obj
    if meta.uid and meta.uid != account.metadata.uid:
        raise object_conflict(
            GROUP,
            _KIND,
            name,
            f"the UID in the token request ({meta.uid}) does not match the UID of the service account "
            f"({account.metadata.uid})",
        )
    now = context.clock.now()
    meta.name, meta.namespace, meta.uid = name, namespace, account.metadata.uid
    meta.creation_timestamp = rfc3339(now)
    spec = request.spec
    stated_audiences = list(spec.audiences)
    if spec.expiration_seconds is None:
        spec.expiration_seconds = _DEFAULT_S
    found = list(_complaints(spec.expiration_seconds))
    if found:
        raise invalid_object(GROUP, _KIND, "", found)
    await _admit(request, namespace, name, opts)
    spec.audiences = stated_audiences or list(context.settings.audiences)
    bound = await _bound(context, namespace, name, spec.bound_object_ref)

    longest = context.settings.max_token_expiration_s
    if spec.expiration_seconds > longest:
        opts.warnings.append(
            f"requested expiration of {spec.expiration_seconds} seconds shortened to {longest} seconds"
        )
        spec.expiration_seconds = longest
    lifetime, warn_after = _lifetime(context, spec, bound)
    token = context.authenticator.accounts.issue(account, spec.audiences, lifetime, bound, warn_after)
    request.status.token = token
    request.status.expiration_timestamp = rfc3339(now + timedelta(seconds=spec.expiration_seconds))
    return request


def _lifetime(context: Context, spec: Any, bound: list[Bound]) -> tuple[int, int]:
    """(seconds to live, seconds until stale). Automounted tokens live on, for clients that never read them again."""
    ours = set(spec.audiences) <= set(context.settings.audiences)
    pod_bound = any(ref.kind == "pod" for ref in bound)
    if context.settings.extend_token_expiration and pod_bound and ours and spec.expiration_seconds == TOKEN_LIFETIME_S:
        return _EXTENDED_S, spec.expiration_seconds
    return spec.expiration_seconds, 0


def _complaints(seconds: int) -> list[FieldError]:
    if seconds < _SHORTEST_S:
        return [errors.invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")]
    if seconds > _LONGEST_S:
        return [
            errors.invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
        ]
    return []


async def _admit(request: Any, namespace: str, name: str, opts: WriteOptions) -> None:
    if opts.admission is None:
        return
    asked = AdmissionRequest(
        kind=SERVICEACCOUNT, operation="CREATE", namespace=namespace, name=name, obj=request, old=None,
        user=opts.user, subresource="token", dry_run=opts.dry_run, warnings=opts.warnings,
        annotations=opts.annotations,
    )  # fmt: skip
    await opts.admission.admit(asked)
    await opts.admission.validate(asked)


async def _bound(context: Context, namespace: str, account: str, ref: Any) -> list[Bound]:
    if ref is None:
        return []
    kinds = {("v1", "Pod"): POD, ("v1", "Node"): NODE, ("v1", "Secret"): SECRET}
    kind: Any = kinds.get((ref.api_version, ref.kind))
    if kind is None:
        group, _, version = ref.api_version.rpartition("/")
        raise BadRequest(f"cannot bind token to object of type {group}/{version}, Kind={ref.kind}")
    obj = (await context.registry.get(kind, namespace if kind.namespaced else "", ref.name)).obj
    if kind is POD and obj.spec.service_account_name != account:
        raise BadRequest(
            f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
        )
    if ref.uid and ref.uid != obj.metadata.uid:
        raise object_conflict(
            "", ref.kind, ref.name,
            f"the UID in the bound object reference ({ref.uid}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )  # fmt: skip
    found = [Bound(ref.kind.lower(), ref.name, obj.metadata.uid)]
    if kind is POD and obj.spec.node_name:
        node = context.registry.cache_of(NODE).get("", obj.spec.node_name)
        found.append(Bound("node", obj.spec.node_name, node.obj.metadata.uid if node is not None else ""))
    return found
