"""Asking extenders: which nodes are left, how good they are, whom to preempt, and to bind.

An extender that fails or does not answer in time is named; the pod is tried again, or, where the extender is ignorable,
placed without it. Scores that fail are left out, as upstream does.

Source: pkg/scheduler/extender.go, schedule_one.go (findNodesThatPassExtenders, prioritizeNodes).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tiphys.api import codec
from tiphys.scheduler.extenders import protocol
from tiphys.scheduler.extenders.verdict import Verdict
from tiphys.scheduler.plugin import SCORE_MAX, PluginError
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.preemption import Choice, least_harm
from tiphys.scheduler.settings import ExtenderSettings
from tiphys.scheduler.table import NodeTable

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

BODY_MAX = 64 * 1024 * 1024
PRIORITY_MAX = 10
"""The largest score of an extender (MaxExtenderPriority)."""
R = TypeVar("R")


class Extender:
    """One extender, over HTTP."""

    def __init__(self, settings: ExtenderSettings, session: Callable[[], aiohttp.ClientSession]) -> None:
        self.settings = settings
        self._session = session
        self._resources = frozenset(name for name, _ in settings.managed_resources)

    @property
    def name(self) -> str:
        return self.settings.url_prefix

    def interested(self, pod: PodRecord) -> bool:
        """Whether this pod is its business."""
        if not self._resources:
            return True
        spec = pod.pod.spec
        return any(
            not self._resources.isdisjoint({*c.resources.requests, *c.resources.limits})
            for c in (*spec.containers, *spec.init_containers)
        )

    async def ask(self, verb: str, body: Any, read: Callable[[bytes], R]) -> R:
        """Raises PluginError with the extender's name."""
        import aiohttp

        url = f"{self.settings.url_prefix.rstrip('/')}/{verb}"
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                async with self._session().post(
                    url, data=codec.encode(body), headers={"Content-Type": "application/json"}
                ) as response:
                    if response.status != 200:
                        raise PluginError(
                            self.name, f"failed {verb} with extender at URL {url}, code {response.status}"
                        )
                    answer = await response.content.read(BODY_MAX + 1)
        except TimeoutError:
            raise PluginError(self.name, f"no answer to {verb} within {self.settings.timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise PluginError(self.name, f"{verb}: {error or type(error).__name__}") from error
        if len(answer) > BODY_MAX:
            raise PluginError(self.name, f"{verb}: the answer is larger than {BODY_MAX} bytes")
        try:
            return read(answer)
        except (ValueError, msgspec.MsgspecError) as error:
            raise PluginError(self.name, f"{verb}: the answer cannot be read: {error}") from error


class Extenders:
    """All extenders of the configuration, in its order."""

    def __init__(self, settings: Sequence[ExtenderSettings], table: NodeTable) -> None:
        self._table = table
        self._sessions: dict[int, aiohttp.ClientSession] = {}
        self._all = [Extender(one, self._session_of(index, one)) for index, one in enumerate(settings)]

    def _session_of(self, index: int, settings: ExtenderSettings) -> Callable[[], aiohttp.ClientSession]:
        def session() -> aiohttp.ClientSession:
            import aiohttp

            if index not in self._sessions:
                connector = aiohttp.TCPConnector(ssl=tls(settings), limit=64)
                self._sessions[index] = aiohttp.ClientSession(connector=connector)
            return self._sessions[index]

        return session

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    def interested(self, pod: PodRecord) -> bool:
        """Whether any must be asked before `pod` gets a node."""
        return any((e.settings.filter_verb or e.settings.prioritize_verb) and e.interested(pod) for e in self._all)

    def preempt_interested(self, pod: PodRecord) -> bool:
        return any(e.settings.preempt_verb and e.interested(pod) for e in self._all)

    async def consult(self, pod: PodRecord, names: Sequence[str]) -> Verdict:
        """What they say about the nodes `names`. Raises PluginError."""
        left = list(names)
        failed: dict[str, str] = {}
        hopeless: dict[str, str] = {}
        for extender in self._all:
            if not left or not extender.settings.filter_verb or not extender.interested(pod):
                continue
            try:
                left = await self._filter(extender, pod, left, failed, hopeless)
            except PluginError as error:
                if not extender.settings.ignorable:
                    raise
                log.warning("extender ignored for %s: %s", pod, error)
        added = await self._prioritize(pod, left) if len(left) > 1 else {}
        return Verdict(frozenset(left), added, failed | hopeless, frozenset(hopeless))

    def _arguments(self, extender: Extender, pod: PodRecord, names: Sequence[str]) -> dict[str, Any]:
        if extender.settings.node_cache_capable:
            return protocol.arguments(pod.pod, names, None)
        table = self._table
        nodes = [table.nodes[table.rows[name]] for name in names if name in table.rows]
        return protocol.arguments(pod.pod, None, [node for node in nodes if node is not None])

    async def _filter(
        self, extender: Extender, pod: PodRecord, names: list[str], failed: dict[str, str], hopeless: dict[str, str]
    ) -> list[str]:
        body = self._arguments(extender, pod, names)
        result = await extender.ask(extender.settings.filter_verb, body, protocol.filter_result)
        if result.error:
            raise PluginError(extender.name, result.error)
        left = result.left() or []
        strangers = set(left) - set(names)
        if strangers:
            raise PluginError(
                extender.name,
                f"extender claims a filtered node {min(strangers)!r} which is not found in the input node list",
            )
        failed |= result.failednodes or {}
        hopeless |= result.failedandunresolvablenodes or {}
        return left

    async def _prioritize(self, pod: PodRecord, names: Sequence[str]) -> dict[str, int]:
        asked = [e for e in self._all if e.settings.prioritize_verb and e.interested(pod)]
        answers = await asyncio.gather(*(self._priorities(extender, pod, names) for extender in asked))
        added: dict[str, int] = {}
        for extender, answer in zip(asked, answers, strict=True):
            for one in answer:
                score = one.score * extender.settings.weight * (SCORE_MAX // PRIORITY_MAX)
                added[one.host] = added.get(one.host, 0) + score
        return added

    async def _priorities(
        self, extender: Extender, pod: PodRecord, names: Sequence[str]
    ) -> Sequence[protocol.HostPriority]:
        body = self._arguments(extender, pod, names)
        try:
            return await extender.ask(extender.settings.prioritize_verb, body, protocol.priorities)
        except PluginError as error:
            log.warning("no scores for %s: %s", pod, error)
            return ()

    async def preempt(self, pod: PodRecord, choices: Sequence[Choice], best: Choice | None) -> Choice | None:
        """The node to take, with the victims that every extender agrees to. None: no node. Raises PluginError."""
        left = {choice.node: choice for choice in choices}
        for extender in self._all:
            if not left or not extender.settings.preempt_verb or not extender.interested(pod):
                continue
            try:
                left = await self._agreed(extender, pod, left)
            except PluginError as error:
                if not extender.settings.ignorable:
                    raise
                log.warning("extender ignored for %s: %s", pod, error)
        if best is not None and left.get(best.node) == best:
            return best
        return least_harm(list(left.values())) if left else None

    async def _agreed(self, extender: Extender, pod: PodRecord, left: Mapping[str, Choice]) -> dict[str, Choice]:
        by_name = extender.settings.node_cache_capable
        victims = {
            node: {
                "Pods": [{"UID": v.uid} if by_name else v.pod for v in choice.victims],
                "NumPDBViolations": choice.violations,
            }
            for node, choice in left.items()
        }
        key = "NodeNameToMetaVictims" if by_name else "NodeNameToVictims"
        body = {"Pod": pod.pod, "NodeNameToVictims": None, "NodeNameToMetaVictims": None} | {key: victims}
        result = await extender.ask(extender.settings.preempt_verb, body, protocol.preemption_result)
        agreed: dict[str, Choice] = {}
        for node, stated in (result.nodenametometavictims or {}).items():
            chosen = self._victims(extender, node, stated)
            if chosen:
                agreed[node] = Choice(node, chosen, stated.numpdbviolations)
            elif not extender.settings.ignorable:
                raise PluginError(extender.name, f"expected at least one victim pod on node {node!r}")
        return agreed

    def _victims(self, extender: Extender, node: str, stated: protocol.MetaVictims) -> tuple[PodRecord, ...]:
        there = {pod.uid: pod for pod in self._table.pods_on(node)}
        found = []
        for one in stated.pods or ():
            if one.uid not in there:
                raise PluginError(
                    extender.name, f"claims to preempt pod (UID: {one.uid}) on node {node}, but it is not found there"
                )
            found.append(there[one.uid])
        return tuple(found)

    async def bind(self, pod: PodRecord, node: str) -> bool:
        """Let the extender bind that wants to. False: none does. Raises PluginError."""
        for extender in self._all:
            if not extender.settings.bind_verb or not extender.interested(pod):
                continue
            body = {"PodName": pod.name, "PodNamespace": pod.namespace, "PodUID": pod.uid, "Node": node}
            result = await extender.ask(extender.settings.bind_verb, body, protocol.binding_result)
            if result.error:
                raise PluginError(extender.name, result.error)
            return True
        return False


def tls(settings: ExtenderSettings) -> ssl.SSLContext | bool:
    """How to trust the extender; True for the system's way. Raises OSError for files that are no good."""
    chosen = settings.tls
    if chosen is None:
        return True
    context = ssl.create_default_context()
    if chosen.ca_file or chosen.ca_data:
        context = ssl.create_default_context(cafile=chosen.ca_file or None, cadata=chosen.ca_data.decode() or None)
    elif chosen.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if chosen.cert_file:
        context.load_cert_chain(chosen.cert_file, chosen.key_file or None)
    return context
