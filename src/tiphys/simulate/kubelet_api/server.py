"""The HTTPS API of all simulated kubelets of one process, at one port.

Each node has an address of its own in 127.64.0.0/10, which Linux and Windows answer at without further ado, so that a
request tells by where it came to which node is meant. Where that is not so, or another address is wanted, all nodes
share one, and the name in the TLS handshake tells.

Source: pkg/kubelet/server/server.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from tiphys.api.codec import encode
from tiphys.api.errors import ApiError, BadRequest, Forbidden, NotFound
from tiphys.api.kinds import CONFIGMAP, NODE, POD
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.log_options import LogOptions, log_options
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.clock import Clock
from tiphys.base.metrics import CONTENT_TYPE
from tiphys.base.pki import KeyPair
from tiphys.client.delegated import KubeletAuth
from tiphys.client.interface import Client
from tiphys.simulate.kubelet_api import sessions, usage
from tiphys.simulate.kubelet_api.answers import Answers
from tiphys.simulate.kubelet_api.certificates import Ask, Certificates
from tiphys.simulate.kubelet_api.channels import Refused, Upgrading
from tiphys.simulate.kubelet_api.http import HEAD_BYTES_MAX, BadHead, Request, answer, answer_stream, read_request
from tiphys.simulate.kubelet_api.logs import Log, Run, has_container, run_of

log = logging.getLogger(__name__)

_OWN_ADDRESSES = ipaddress.ip_network("127.64.0.0/10")
_CONNECTIONS_MAX = 2000
_LOOK_S = 1.0
"""How often a followed log looks whether its container still runs."""
_LINES_AT_ONCE = 500
_FRESH_S = 2.0
"""How long pods by node are used again: a scrape of all nodes goes through all pods once."""
_CA_TRIES, _CA_RETRY_S = 30, 1.0
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class _Call:
    """A request that may be answered."""

    request: Request
    node: str
    parts: list[str]
    """Of the path."""
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class KubeletApi:
    """For the nodes called `names`. `open` it before they register, then `run` it."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        names: list[str],
        answers: Answers | None = None,
        *,
        address: str = "",
        port: int = 0,
        authority: KeyPair | None = None,
        ask: Ask | None = None,
    ) -> None:
        """`address` empty: one of its own for each node, where the machine has such. `port` 0: any that is free.

        `authority` is what clients that verify kubelets trust; None: `ask` for its signatures, else one of our own.
        """
        self._client, self._clock = client, clock
        self._answers = answers or Answers()
        self._shared = address or ("" if _has_own_addresses() else "127.0.0.1")
        self.addresses: Mapping[str, str] = {
            name: self._shared or str(_OWN_ADDRESSES[number + 1]) for number, name in enumerate(names)
        }
        """Where each node's API is reached."""
        self._nodes = {} if self._shared else {address: name for name, address in self.addresses.items()}
        self._certificates = Certificates(self.addresses, authority)
        self._ask = ask
        self._auth = KubeletAuth(client, clock)
        self._socket: socket.socket | None = None
        self._wanted_port = port
        self._plays: Callable[[str], bool] = self.addresses.__contains__
        self._tasks: set[asyncio.Task[None]] = set()
        self._by_node: tuple[float, dict[str, list[Pod]]] = (0.0, {})

    def open(self, plays: Callable[[str], bool]) -> int:
        """Take the port, and return it; `plays` says whether a node is there and not lost. Raises OSError."""
        self._plays = plays
        family = socket.AF_INET6 if ":" in self._shared else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((self._shared or "0.0.0.0", self._wanted_port))  # noqa: S104 # strangers are turned away
            self._socket.listen(128)
        except OSError:
            self._socket.close()
            raise
        return int(self._socket.getsockname()[1])

    async def run(self) -> None:
        """Answer until cancelled."""
        if self._socket is None:
            raise RuntimeError("not open")
        if self._ask is not None:
            await self._certificates.obtain(self._ask)
        context = self._certificates.listening(await self._client_ca())
        server = await asyncio.start_server(self._connected, sock=self._socket, ssl=context, limit=HEAD_BYTES_MAX)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _client_ca(self) -> str:
        """Of whom callers' certificates are. Waited for: callers wait meanwhile, and API servers say it soon.

        Where it is not said, bearer tokens are what callers show.
        """
        for attempt in itertools.count(1):
            try:
                config = await self._client.get(CONFIGMAP, "extension-apiserver-authentication", "kube-system")
            except (ApiError, OSError, TimeoutError) as error:
                if isinstance(error, Forbidden) or (isinstance(error, NotFound) and attempt >= _CA_TRIES):
                    log.warning("kubelet API: callers' certificates cannot be checked: %s", error)
                    break
                await self._clock.sleep(_CA_RETRY_S)
            else:
                return str(config.data.get("client-ca-file", ""))
        return ""

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= _CONNECTIONS_MAX:
            writer.close()
            return
        self._tasks.add(task)
        try:
            await self._converse(reader, writer)
        except (OSError, EOFError, TimeoutError, BadHead) as error:
            log.debug("kubelet API: %s", error)
        except ExceptionGroup as error:
            log.debug("kubelet API: %s", error.exceptions)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        parts = request.path.strip("/").split("/")
        node = self._node(writer, parts)
        if not self._plays(node):
            return  # none of ours, or it is silent
        call = _Call(request, node, parts, reader, writer)
        try:
            caller = await self._auth.caller(writer.get_extra_info("peercert"), request.header("authorization"))
            await self._auth.authorize(caller, request.method, request.path, node)
            await self._route(call)
        except Refused as refusal:
            await answer(writer, str(refusal).encode(), 403)
        except ApiError as error:
            await answer(writer, f"{error.message}\n".encode(), error.code)

    def _node(self, writer: asyncio.StreamWriter, parts: list[str]) -> str:
        """Which one is called: by its own address, else by the name that the handshake asked for, else by the pod."""
        if self._nodes:
            return self._nodes.get(str((writer.get_extra_info("sockname") or ("",))[0]), "")
        connection: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
        asked = getattr(connection, "asked_name", None)
        if asked in self.addresses:
            return str(asked)
        pod = self._client.informer(POD).get(parts[2], parts[1]) if len(parts) > 2 else None
        return pod.spec.node_name if pod is not None else ""

    async def _route(self, call: _Call) -> None:
        match call.parts:
            case ["containerLogs", namespace, name, container]:
                await self._logs(call, namespace, name, container)
            case ["exec" | "attach", namespace, name, *pinned, container] if len(pinned) < 2:
                await self._command(call, self._pod(call.node, namespace, name, *pinned), container)
            case ["portForward", namespace, name, *pinned] if len(pinned) < 2:
                pod = self._pod(call.node, namespace, name, *pinned)
                await sessions.forward(self._upgrading(call), self._answers, pod)
            case ["healthz", *_]:
                await answer(call.writer, b"ok")
            case ["pods"]:
                pods = b",".join(encode(pod) for pod in self._pods(call.node))
                listed = b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[' + pods + b"]}"
                await answer(call.writer, listed, content_type=_JSON)
            case ["stats", "summary"]:
                node, uses, now = await self._uses(call.node)
                await answer(call.writer, msgspec.json.encode(usage.summary(node, uses, now)), content_type=_JSON)
            case ["metrics", "resource"]:
                page = usage.resource_metrics(*await self._uses(call.node))
                await answer(call.writer, page.encode(), content_type=CONTENT_TYPE)
            case _:
                raise NotFound("404 page not found")

    # Pods

    def _pod(self, node: str, namespace: str, name: str, uid: str = "") -> Pod:
        """Raises NotFound."""
        pod = self._client.informer(POD).get(name, namespace)
        if pod is None or pod.spec.node_name != node or (uid and pod.metadata.uid != uid):
            raise NotFound(f'pod "{name}" does not exist')
        return pod

    def _pods(self, node: str) -> list[Pod]:
        made_s, by_node = self._by_node
        now_s = self._clock.monotonic()
        if not by_node or now_s - made_s > _FRESH_S:
            by_node = {}
            for pod in self._client.informer(POD).list():
                by_node.setdefault(pod.spec.node_name, []).append(pod)
            self._by_node = (now_s, by_node)
            asyncio.get_running_loop().call_later(2 * _FRESH_S, self._forget, now_s)
        return by_node.get(node, [])

    def _forget(self, made_s: float) -> None:
        if self._by_node[0] == made_s:
            self._by_node = (0.0, {})

    async def _uses(self, node: str) -> tuple[Node, list[usage.PodUse], datetime]:
        now = self._clock.now()
        return await self._client.get(NODE, node), usage.pod_uses(self._answers, self._pods(node), now), now

    # Logs

    async def _logs(self, call: _Call, namespace: str, name: str, container: str) -> None:
        pod = self._pod(call.node, namespace, name)
        query = {key: values[0] for key, values in call.request.query.items()}
        options, previous = log_options(query, self._clock.now())
        run = run_of(pod, container, previous=previous)
        pieces = self._lines(pod, container, run, options)
        if not options.follow:
            await answer_stream(call.writer, pieces)
            return
        writing = asyncio.ensure_future(answer_stream(call.writer, pieces))
        leaving = asyncio.ensure_future(call.reader.read(1))  # a client says nothing more: this is its end
        try:
            await asyncio.wait((writing, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writing, leaving):
                task.cancel()
            await asyncio.gather(writing, leaving, return_exceptions=True)

    async def _lines(self, pod: Pod, container: str, run: Run, options: LogOptions) -> AsyncIterator[bytes]:
        """Up to now; with `follow`, until the container has ended. No more than the limit in bytes."""
        written = Log(self._answers, pod, container, run)
        at, left = written.first(options, self._clock.now()), options.limit_bytes
        while True:
            end = written.count(self._clock.now())
            while at < end:
                upto = min(at + _LINES_AT_ONCE, end)
                text = b"".join(written.texts(at, upto, options))
                at = upto
                if left is not None:
                    text = text[:left]
                    left -= len(text)
                yield text
                if left == 0:
                    return
            if not options.follow or run.end is not None:
                return
            due_s = (written.time(at) - self._clock.now()).total_seconds()
            await self._clock.sleep(min(max(due_s, 0.05), _LOOK_S))
            now_run = self._continued(pod, container, run)
            if now_run is None:
                return
            if now_run is not run:
                run = now_run
                written = Log(self._answers, pod, container, run)

    def _continued(self, pod: Pod, container: str, run: Run) -> Run | None:
        """The same run as it is now; None where nobody knows of it any more."""
        now = self._client.informer(POD).get(pod.metadata.name, pod.metadata.namespace)
        if now is None or now.metadata.uid != pod.metadata.uid:
            return None
        for previous in (False, True):
            with contextlib.suppress(ApiError):
                found = run_of(now, container, previous=previous)
                if found.number == run.number:
                    return run if found.end is None else found
        return None

    # Commands

    def _upgrading(self, call: _Call) -> Upgrading:
        if not call.request.upgrades:
            raise BadRequest("Upgrade request required")
        return Upgrading(call.request, call.reader, call.writer)

    async def _command(self, call: _Call, pod: Pod, container: str) -> None:
        wanted = sessions.wanted_streams(call.request)
        if not has_container(pod, container):
            raise NotFound(f'container not found ("{container}")')
        run = run_of(pod, container)
        if run.end is not None:
            raise BadRequest(f"container {container} is not running")
        tty = call.request.first("tty") == "1"
        upgrading = self._upgrading(call)
        async with sessions.command_streams(upgrading, wanted) as streams:
            if call.parts[0] == "exec":
                command = call.request.query.get("command", [])
                rule = self._answers.exec_of(pod, container, command)
                await sessions.run_command(rule, streams, pod, container, command, self._clock, tty=tty)
                return
            pieces = self._lines(pod, container, run, LogOptions(follow=True, tail_lines=0))
            await sessions.attached(streams, pieces, reads="stdin" in wanted, tty=tty)


def _has_own_addresses() -> bool:
    """Whether all of 127.0.0.0/8 leads to this machine; not so on macOS."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((str(_OWN_ADDRESSES[1]), 0))
        except OSError:
            return False
    return True
