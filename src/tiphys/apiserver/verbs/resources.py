"""create, get, list, update, patch, delete and deletecollection of objects and their status.

Each handler reads the request, calls the registry and shapes the answer; nothing is decided here that the registry
decides. Source: staging/src/k8s.io/apiserver/pkg/endpoints/handlers.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.errors import BadRequest, MethodNotAllowed
from tiphys.api.kind import Kind
from tiphys.api.kinds import JOB
from tiphys.api.meta.types import DeleteOptions
from tiphys.apiserver.chain.exchange import Answer, Exchange, Reply
from tiphys.apiserver.chain.requestinfo import is_true
from tiphys.apiserver.registry.interface import ListOptions
from tiphys.apiserver.verbs import bodies, options, respond
from tiphys.apiserver.verbs.context import Context, namespace_of

_ORPHANS = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or "
    "set propagationPolicy=Orphan to suppress this warning"
)


class ResourceHandlers:
    """The verbs of one kind; `subresource` is `status` or empty."""

    def __init__(self, context: Context, kind: Kind[Any], subresource: str = "") -> None:
        self._context = context
        self._registry = context.registry
        self._limit = context.settings.max_body_bytes
        self._kind = kind
        self._subresource = subresource

    async def get(self, exchange: Exchange) -> Reply:
        info = exchange.info
        entry = await self._registry.get(
            self._kind, namespace_of(self._kind, info), info.name, options.one(info.query, "resourceVersion")
        )
        return respond.object_answer(exchange, entry)

    async def list(self, exchange: Exchange) -> Reply:
        info = exchange.info
        selection = options.list_options(info.query)
        page = await self._registry.list(self._kind, info.namespace if self._kind.namespaced else "", selection)
        return await respond.list_answer(exchange, self._kind, page, self._context.settings.gzip_threshold_bytes)

    async def create(self, exchange: Exchange) -> Reply:
        info = exchange.info
        if info.name:
            raise not_allowed()
        namespace = namespace_of(self._kind, info)
        opts = options.write_options(exchange, self._context.admission, "Create", subresource=self._subresource)
        obj, _ = await bodies.read_object(exchange, self._kind, self._limit, opts.field_validation)
        check_namespace(self._kind, obj, namespace)
        entry = await self._registry.create(self._kind, namespace, obj, opts)
        return respond.object_answer(exchange, entry, 201)

    async def update(self, exchange: Exchange) -> Reply:
        info = exchange.info
        if not info.name:
            raise not_allowed()
        namespace = namespace_of(self._kind, info)
        opts = options.write_options(exchange, self._context.admission, "Update", subresource=self._subresource)
        obj, body = await bodies.read_object(exchange, self._kind, self._limit, opts.field_validation)
        check_name(obj, info.name)
        check_namespace(self._kind, obj, namespace)
        fresh = [obj]

        def wanted(_current: Any) -> Any:
            return fresh.pop() if fresh else bodies.again(self._kind, body, exchange)

        entry, created = await self._registry.update(self._kind, namespace, info.name, wanted, opts)
        return respond.object_answer(exchange, entry, 201 if created else 200)

    async def patch(self, exchange: Exchange) -> Reply:
        info = exchange.info
        if not info.name:
            raise not_allowed()
        namespace = namespace_of(self._kind, info)
        form = bodies.patch_type(exchange, self._kind)
        opts = options.write_options(
            exchange, self._context.admission, "Patch", subresource=self._subresource, apply=form == "apply"
        )
        request = await bodies.read_patch(
            exchange, form, self._limit, force=is_true(info.query.get("force", ())), validation=opts.field_validation
        )
        entry, created = await self._registry.patch(self._kind, namespace, info.name, request, opts)
        return respond.object_answer(exchange, entry, 201 if created else 200)

    async def delete(self, exchange: Exchange) -> Reply:
        info = exchange.info
        namespace = namespace_of(self._kind, info)
        stated = options.delete_options(info.query, await bodies.read_delete_options(exchange, self._limit))
        opts = options.write_options(exchange, self._context.admission, "Delete", subresource=self._subresource)
        opts = options.replace(opts, dry_run=bool(stated.dry_run))
        self._warn_of_orphans(exchange, stated)
        done = await self._registry.delete(self._kind, namespace, info.name, stated, opts)
        if done.show_object:
            return respond.object_answer(exchange, done.entry)
        # Orphans were asked not to be left: upstream then says "accepted" while the object still waits.
        status = 202 if not done.deleted and stated.orphan_dependents is False else 200
        gone = respond.success(self._kind, info.name, done.entry.obj.metadata.uid)
        return respond.value_answer(exchange, gone, status)

    async def delete_collection(self, exchange: Exchange) -> Reply:
        info = exchange.info
        stated = options.delete_options(info.query, await bodies.read_delete_options(exchange, self._limit))
        opts = options.write_options(exchange, self._context.admission, "Delete")
        opts = options.replace(opts, dry_run=bool(stated.dry_run))
        namespace = info.namespace if self._kind.namespaced else ""
        selection: ListOptions = options.list_options(info.query)
        self._warn_of_orphans(exchange, stated)
        page = await self._registry.delete_collection(self._kind, namespace, selection, stated, opts)
        return await respond.list_answer(exchange, self._kind, page, self._context.settings.gzip_threshold_bytes)

    def _warn_of_orphans(self, exchange: Exchange, stated: DeleteOptions) -> None:
        """Of jobs alone, as upstream."""
        if self._kind is JOB and stated.propagation_policy is None and stated.orphan_dependents is None:
            exchange.warnings.append(_ORPHANS)


class ScaleHandlers:
    """get, update and patch of the `scale` subresource."""

    def __init__(self, context: Context, kind: Kind[Any]) -> None:
        self._context = context
        self._registry = context.registry
        self._kind = kind

    async def get(self, exchange: Exchange) -> Reply:
        info = exchange.info
        scale = await self._registry.get_scale(self._kind, namespace_of(self._kind, info), info.name)
        return respond.value_answer(exchange, scale)

    async def update(self, exchange: Exchange) -> Reply:
        from tiphys.api.kinds import SCALE

        info = exchange.info
        opts = options.write_options(exchange, self._context.admission, "Update", subresource="scale")
        scale, _ = await bodies.read_object(
            exchange, SCALE, self._context.settings.max_body_bytes, opts.field_validation
        )
        check_name(scale, info.name)
        done = await self._registry.update_scale(self._kind, namespace_of(self._kind, info), info.name, scale, opts)
        return respond.value_answer(exchange, done)

    async def patch(self, exchange: Exchange) -> Reply:
        info = exchange.info
        form = bodies.patch_type(exchange)
        opts = options.write_options(
            exchange, self._context.admission, "Patch", subresource="scale", apply=form == "apply"
        )
        request = await bodies.read_patch(
            exchange, form, self._context.settings.max_body_bytes, force=is_true(info.query.get("force", ()))
        )
        done = await self._registry.patch_scale(self._kind, namespace_of(self._kind, info), info.name, request, opts)
        return respond.value_answer(exchange, done)


def not_allowed() -> MethodNotAllowed:
    return MethodNotAllowed("the server does not allow this method on the requested resource")


def check_name(obj: Any, name: str) -> None:
    """Fill in the name of the path, or refuse another one."""
    stated = obj.metadata.name
    if not stated:
        obj.metadata.name = name
    elif stated != name:
        raise BadRequest(f"the name of the object ({stated}) does not match the name on the URL ({name})")


def check_namespace(kind: Kind[Any], obj: Any, namespace: str) -> None:
    """Fill in the namespace of the path, or refuse another one."""
    if not kind.namespaced:
        return
    stated = obj.metadata.namespace
    if not stated:
        obj.metadata.namespace = namespace
    elif stated != namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")


def text_answer(body: str, status: int = 200) -> Answer:
    return Answer(body.encode(), status, "text/plain; charset=utf-8")
