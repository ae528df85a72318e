"""Which function answers which review, and how HTTP reaches it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import (
    LOCALSUBJECTACCESSREVIEW,
    SELFSUBJECTACCESSREVIEW,
    SELFSUBJECTREVIEW,
    SELFSUBJECTRULESREVIEW,
    SUBJECTACCESSREVIEW,
    TOKENREVIEW,
)
from tiphys.apiserver.chain.exchange import Exchange, Handler, Reply
from tiphys.apiserver.registry.interface import AdmissionRequest, WriteOptions
from tiphys.apiserver.request import User
from tiphys.apiserver.reviews import access, identity
from tiphys.apiserver.verbs import bodies, options, respond
from tiphys.apiserver.verbs.context import Context
from tiphys.apiserver.verbs.negotiate import wanted
from tiphys.apiserver.verbs.router import Router

Review = Callable[[Context, User, str, Any], Awaitable[Any]]
"""(context, who asks, namespace, review) -> the review with its status. Raises ApiError."""

REVIEWS: dict[Kind[Any], Review] = {
    TOKENREVIEW: identity.token,
    SELFSUBJECTREVIEW: identity.self_subject,
    SUBJECTACCESSREVIEW: access.subject_access,
    LOCALSUBJECTACCESSREVIEW: access.local_subject_access,
    SELFSUBJECTACCESSREVIEW: access.self_subject_access,
    SELFSUBJECTRULESREVIEW: access.self_subject_rules,
}


def install(router: Router, context: Context) -> None:
    for kind, review in REVIEWS.items():
        router.add(kind, "", "create", _handler(context, kind, review))


async def _admitted(kind: Kind[Any], namespace: str, obj: Any, opts: WriteOptions) -> Any:
    """Reviews are never stored, and pass admission like all that is created. Raises ApiError."""
    if opts.admission is None:
        return obj
    request = AdmissionRequest(
        kind, "CREATE", namespace, obj.metadata.name, obj, None, opts.user, "", opts.dry_run, None,
        opts.field_manager, opts.field_validation, opts.warnings, opts.annotations,
    )  # fmt: skip
    await opts.admission.admit(request)
    await opts.admission.validate(request)
    return request.obj


def _handler(context: Context, kind: Kind[Any], review: Review) -> Handler:
    async def create(exchange: Exchange) -> Reply:
        wanted(exchange, whole=True)
        opts = options.write_options(exchange, context.admission, "Create")
        obj, _ = await bodies.read_object(exchange, kind, context.settings.max_body_bytes, opts.field_validation)
        obj = await _admitted(kind, exchange.info.namespace, obj, opts)
        answer = await review(context, exchange.user, exchange.info.namespace, obj)
        return respond.value_answer(exchange, answer, 201)

    return create
