"""pods/log: a container's output, streamed from its kubelet.

Source: pkg/registry/core/pod/rest/log.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from tiphys.api import errors
from tiphys.api.errors import BadRequest, InternalError, invalid_object
from tiphys.api.kinds import POD
from tiphys.apiserver.chain.exchange import Answer, Exchange, Reply, Stream
from tiphys.apiserver.chain.requestinfo import is_true
from tiphys.apiserver.streaming.backend import Backend, batches
from tiphys.apiserver.streaming.kubelet import dial_error
from tiphys.apiserver.streaming.websocket import as_messages, wants_websocket
from tiphys.apiserver.subresources.containers import container_of, located
from tiphys.apiserver.verbs import options
from tiphys.apiserver.verbs.context import Context
from tiphys.apiserver.verbs.router import Router
from tiphys.base.clock import parse_rfc3339

if TYPE_CHECKING:
    import aiohttp

_FLAGS = ("follow", "previous", "timestamps")
_TEXT = "text/plain"
_MAX_ERROR = 64 * 1024
_STREAMS = ("All", "Stdout", "Stderr")


def install(router: Router, context: Context, backend: Backend) -> None:
    async def log(exchange: Exchange) -> Reply:
        return await _log(context, backend, exchange)

    router.add(POD, "log", "get", log)


async def _log(context: Context, backend: Backend, exchange: Exchange) -> Reply:
    info = exchange.info
    query = _kubelet_query(info.query)
    pod, address = await located(context.registry, context.kubelets, info.namespace, info.name)
    container = container_of(pod, options.one(info.query, "container"))
    if address is None:
        return Answer(b"", 200, _TEXT)
    path = f"/containerLogs/{quote(info.namespace)}/{quote(info.name)}/{quote(container)}"
    url = f"https://{address.authority}{path}" + (f"?{urlencode(query)}" if query else "")
    try:
        response = await backend.open("GET", url, tls=context.kubelets.tls(), server_name=address.node)
    except (OSError, TimeoutError) as error:
        raise dial_error(error) from error
    if response.status != 200:
        raise await _refusal(response)
    stream = Stream(batches(response), content_type=_TEXT, close=response.close)
    return as_messages(exchange, stream) if wants_websocket(exchange) else stream


def _kubelet_query(query: options.Query) -> dict[str, str]:
    """PodLogOptions, checked. Raises Invalid, BadRequest."""
    found: dict[str, str] = {flag: "true" for flag in _FLAGS if is_true(query.get(flag, ()))}
    complaints = []
    for name, least in (("tailLines", 0), ("limitBytes", 1), ("sinceSeconds", 1)):
        value = options.number(query, name)
        if value is None:
            continue
        if value < least:
            why = "must be greater than 0" if least else "must be greater than or equal to 0"
            complaints.append(errors.invalid(name, value, why))
        found[name] = str(value)
    since = options.one(query, "sinceTime")
    if since:
        if "sinceSeconds" in found:
            complaints.append(errors.forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
        try:
            parse_rfc3339(since)
        except ValueError:
            raise BadRequest(f'parsing time "{since}": cannot be read as RFC 3339') from None
        found["sinceTime"] = since
    stream = options.one(query, "stream")
    if stream:
        if stream not in _STREAMS:
            complaints.append(errors.not_supported("stream", stream, _STREAMS))
        found["stream"] = stream
    if complaints:
        raise invalid_object("", "PodLogOptions", "", complaints)
    return found


async def _refusal(response: aiohttp.ClientResponse) -> Exception:
    """The kubelet's words in a Status. Source: registry/generic/rest/response_checker.go."""
    text = (await response.content.read(_MAX_ERROR)).decode("utf-8", "replace").strip()
    response.close()
    if response.status == 400:
        return BadRequest(text)
    if response.status == 404:
        return errors.NotFound(f"the server could not find the requested resource: {text}" if text else "not found")
    return InternalError(f"Internal error occurred: {text}")
