"""Subresources that are POSTed an object and answer with one: the table, and how HTTP reaches it.

The functions themselves know no HTTP, so that the in-process client uses them too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tiphys.api.kind import Kind
from tiphys.api.kinds import BINDING, EVICTION, POD, SERVICEACCOUNT, TOKENREQUEST
from tiphys.api.meta.types import Status
from tiphys.apiserver.chain.exchange import Exchange, Reply
from tiphys.apiserver.registry.interface import WriteOptions
from tiphys.apiserver.subresources import binding, eviction, token
from tiphys.apiserver.verbs import bodies, options, respond
from tiphys.apiserver.verbs.context import Context, namespace_of
from tiphys.apiserver.verbs.router import Router

Create = Callable[[Context, str, str, Any, WriteOptions], Awaitable[Any]]
"""(context, namespace, name, body, options) -> answer. Raises ApiError."""


class CreateSubresource(msgspec.Struct, frozen=True):
    """One row of the table."""

    parent: Kind[Any]
    name: str
    body: Kind[Any]
    run: Create


CREATES = (
    CreateSubresource(POD, "binding", BINDING, binding.bind),
    CreateSubresource(POD, "eviction", EVICTION, eviction.evict),
    CreateSubresource(SERVICEACCOUNT, "token", TOKENREQUEST, token.issue),
)


def find(parent: Kind[Any], name: str) -> CreateSubresource | None:
    return next((row for row in CREATES if row.parent is parent and row.name == name), None)


def install(router: Router, context: Context) -> None:
    for row in CREATES:
        router.add(row.parent, row.name, "create", _handler(context, row))
    # The old way to bind: POST to a collection, the pod named in the body.
    router.add(BINDING, "", "create", _handler(context, CREATES[0]))


def _handler(context: Context, row: CreateSubresource) -> Callable[[Exchange], Awaitable[Reply]]:
    async def create(exchange: Exchange) -> Reply:
        opts = options.write_options(exchange, context.admission, "Create", subresource=row.name)
        body, _ = await bodies.read_object(exchange, row.body, context.settings.max_body_bytes, opts.field_validation)
        namespace = namespace_of(row.parent, exchange.info)
        answer = await row.run(context, namespace, exchange.info.name or body.metadata.name, body, opts)
        if isinstance(answer, Status):
            answer.code = 201
        return respond.value_answer(exchange, answer, 201)

    return create
