"""The iptables mode's hold on the kernel: whole tables and changes through iptables-restore, in one worker thread."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tiphys.api.kinds.core.service import Service
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice
from tiphys.base.family import FAMILIES, IPV4, Family
from tiphys.base.nft import NftError
from tiphys.proxy import conntrack
from tiphys.proxy.endpoints import Place
from tiphys.proxy.iptables import (
    FENCES,
    FILTER_FRONTS,
    MADE,
    NAT_FRONTS,
    STRANGERS,
    commands,
    fragment_of,
    jumps,
    loads,
)
from tiphys.proxy.ruleset import Fragment, Item, Surroundings
from tiphys.proxy.table import Changes

T = TypeVar("T")
_TIMEOUT_S = 60
_WAIT = ("--wait", "5")
_OURS = (*MADE, FENCES, *NAT_FRONTS, *FILTER_FRONTS, STRANGERS, "KUBE-MARK-MASQ", "KUBE-POSTROUTING")


class IptablesKernel:
    """The iptables mode; see `kernel.Mode`."""

    def __init__(self, around: Surroundings) -> None:
        self._around, self._tool = around, _Tool(around.family)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tiphys-iptables")

    def fragment(self, service: Service, slices: Sequence[EndpointSlice], place: Place) -> Fragment:
        return fragment_of(service, slices, place, self._around)

    def provides_for(self, _changes: Changes) -> bool:
        return True

    async def load(self, items: Mapping[Item, str]) -> None:
        def work() -> None:
            tool = self._tool
            for text in loads(items, {table: tool.chains(table, (*MADE, FENCES)) for table in ("nat", "filter")}):
                tool.restore(text)
            # Each goes to the top, the last one first; one that was there already moves.
            for table, chain, rule in reversed(jumps(self._around)):
                tool.succeeds("-t", table, "-D", chain, *rule.split())
                tool.run("-t", table, "-I", chain, *rule.split())

        await self._in_thread(work)

    async def apply(self, changes: Changes) -> None:
        text = commands(changes)
        if text:
            await self._in_thread(lambda: self._tool.restore(text))

    async def present(self) -> bool:
        def work() -> bool:
            return all(
                self._tool.succeeds("-t", table, "-C", chain, *rule.split())
                for table, chain, rule in jumps(self._around)
            )

        return await self._in_thread(work)

    async def forget_flows(self, fronts: Mapping[conntrack.Front, Collection[tuple[str, int]]]) -> int:
        return await self._in_thread(lambda: conntrack.forget_stale(fronts, self._around.family))

    async def close(self) -> None:
        self._executor.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


class _Tool:
    """iptables, or ip6tables. What it refuses is raised as NftError."""

    def __init__(self, family: Family) -> None:
        self._name = "iptables-nft" if family == IPV4 else "ip6tables-nft"

    def restore(self, text: str) -> None:
        _run(f"{self._name}-restore", *_WAIT, "--noflush", stdin=text)

    def run(self, *words: str) -> str:
        return _run(self._name, *_WAIT, *words)

    def succeeds(self, *words: str) -> bool:
        try:
            self.run(*words)
        except NftError:
            return False
        return True

    def chains(self, table: str, prefixes: tuple[str, ...]) -> list[str]:
        """The chains of `table` that begin so; none where there is no iptables."""
        try:
            listed = _run(f"{self._name}-save", "-t", table)
        except NftError:
            return []
        marks = tuple(f":{prefix}" for prefix in prefixes)
        return [line[1:].split(" ")[0] for line in listed.splitlines() if line.startswith(marks)]

    def clean(self) -> None:
        """Takes every chain of this mode away."""
        for table in ("nat", "filter"):
            ours = self.chains(table, _OURS)
            if not ours:
                continue
            leading = [
                line for line in self.run("-t", table, "-S").splitlines()
                if line.startswith("-A ") and line.split(" ")[1] not in ours and line.rpartition(" -j ")[2] in ours
            ]  # fmt: skip
            lines = [f"*{table}", *(f":{chain} - [0:0]" for chain in ours)]
            lines += ["-D" + line.removeprefix("-A") for line in leading]
            lines += [f"-X {chain}" for chain in ours]
            self.restore("\n".join([*lines, "COMMIT"]) + "\n")


def cleanup() -> None:
    """Takes every chain of this mode away, whatever configuration made it. Idempotent. Raises NftError."""
    for family in FAMILIES:
        _Tool(family).clean()


def _run(*command: str, stdin: str = "") -> str:
    try:
        done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NftError(f"running {command[0]}: {error}; is the package iptables installed?") from error
    if done.returncode:
        raise NftError(" ".join(done.stderr.split())[:500])
    return done.stdout
