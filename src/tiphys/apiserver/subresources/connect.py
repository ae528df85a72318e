"""pods/exec, pods/attach, pods/portforward: the client's upgrade, tunnelled to the kubelet.

Source: pkg/registry/core/pod/rest/subresources.go, pkg/registry/core/pod/strategy.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlencode

from msgspec.structs import replace

from tiphys.api.errors import BadRequest
from tiphys.api.kinds import POD
from tiphys.apiserver.chain.exchange import Exchange, Reply
from tiphys.apiserver.chain.requestinfo import is_true
from tiphys.apiserver.registry.interface import AdmissionRequest
from tiphys.apiserver.streaming.tunnel import request_head, require_upgrade, tunnel
from tiphys.apiserver.subresources.connect_options import connect_options
from tiphys.apiserver.subresources.containers import container_of, located, unbound
from tiphys.apiserver.verbs import options
from tiphys.apiserver.verbs.context import Context
from tiphys.apiserver.verbs.router import Router

_STREAMS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
"""The API's name of a stream, and the kubelet's."""


def install(router: Router, context: Context) -> None:
    for subresource in ("exec", "attach", "portforward"):
        handler = _handler(context, subresource)
        for verb in ("get", "create"):
            router.add(POD, subresource, verb, handler)


def _handler(context: Context, subresource: str) -> Callable[[Exchange], Awaitable[Reply]]:
    async def connect(exchange: Exchange) -> Reply:
        info = exchange.info
        if info.verb != "create":
            # A WebSocket is opened by GET, but what it may do is not reading: `get` alone is not enough.
            await context.authorizer.check(exchange.user, replace(info, verb="create"))
        pod, address = await located(context.registry, context.kubelets, info.namespace, info.name)
        target = _target(exchange, subresource, pod)
        if address is None:
            raise unbound(pod)
        request = AdmissionRequest(
            kind=POD, operation="CONNECT", namespace=info.namespace, name=info.name, obj=connect_options(info),
            old=None, user=exchange.user, subresource=subresource, warnings=exchange.warnings,
            annotations=exchange.annotations,
        )  # fmt: skip
        await context.admission.admit(request)
        await context.admission.validate(request)
        require_upgrade(exchange)
        head = request_head(exchange, target, address.authority)
        reader, writer = await context.kubelets.connect(address)
        return await tunnel(reader, writer, head)

    return connect


def _target(exchange: Exchange, subresource: str, pod: object) -> str:
    """The kubelet's path and query."""
    info = exchange.info
    where = f"{quote(info.namespace)}/{quote(info.name)}"
    if subresource == "portforward":
        ports = [("port", port) for value in info.query.get("ports", ()) for port in value.split(",")]
        for _, port in ports:
            if not port.isdigit() or not 0 < int(port) < 65536:
                raise BadRequest(f'query parameter "port" must be between 1 and 65535, got "{port}"')
        return f"/portForward/{where}" + (f"?{urlencode(ports)}" if ports else "")
    container = container_of(pod, options.one(info.query, "container"))
    pairs = [(kubelet, "1") for ours, kubelet in _STREAMS if is_true(info.query.get(ours, ()))]
    if not any(name != "tty" for name, _ in pairs):
        raise BadRequest("you must specify at least one of stdin, stdout, stderr")
    if subresource == "exec":
        commands = info.query.get("command", ())
        if not commands:
            raise BadRequest("you must specify at least one command for the container")
        pairs += [("command", word) for word in commands]
    return f"/{subresource}/{where}/{quote(container)}?{urlencode(pairs)}"
