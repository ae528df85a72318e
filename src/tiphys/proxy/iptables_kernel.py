"""The iptables mode's hold on the kernel: whole tables and changes through iptables-restore, in one worker thread."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tiphys.api.kinds.core.service import Service
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice
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
    whole,
)
from tiphys.proxy.ruleset import Fragment, Item, Surroundings
from tiphys.proxy.table import Changes

T = TypeVar("T")
_TIMEOUT_S = 300
"""iptables-restore takes more than proportionally longer for many chains."""
_WAIT = ("--wait", "5")
_OURS = (*MADE, FENCES, *NAT_FRONTS, *FILTER_FRONTS, STRANGERS, "KUBE-MARK-MASQ", "KUBE-POSTROUTING")


class IptablesKernel:
    """The iptables mode; see `kernel.Mode`."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tiphys-iptables")

    def fragment(self, service: Service, slices: Sequence[EndpointSlice], place: Place) -> Fragment:
        return fragment_of(service, slices, place, self._around)

    def provides_for(self, _changes: Changes) -> bool:
        return True

    async def load(self, items: Mapping[Item, str]) -> None:
        def work() -> None:
            _restore(whole(items, {table: _chains(table, (*MADE, FENCES)) for table in ("nat", "filter")}))
            # Each goes to the top, the last one first; one that was there already moves.
            for table, chain, rule in reversed(jumps(self._around)):
                _succeeds("-t", table, "-D", chain, *rule.split())
                _run("iptables-nft", *_WAIT, "-t", table, "-I", chain, *rule.split())

        await self._in_thread(work)

    async def apply(self, changes: Changes) -> None:
        text = commands(changes)
        if text:
            await self._in_thread(lambda: _restore(text))

    async def present(self) -> bool:
        def work() -> bool:
            return all(_succeeds("-t", table, "-C", chain, *rule.split()) for table, chain, rule in jumps(self._around))

        return await self._in_thread(work)

    async def forget_flows(self, fronts: Mapping[conntrack.Front, Collection[tuple[str, int]]]) -> int:
        return await self._in_thread(lambda: conntrack.forget_stale(fronts))

    async def close(self) -> None:
        self._executor.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def cleanup() -> None:
    """Takes every chain of this mode away, whatever configuration made it. Idempotent. Raises NftError."""
    for table in ("nat", "filter"):
        ours = _chains(table, _OURS)
        if not ours:
            continue
        leading = [
            line for line in _run("iptables-nft", *_WAIT, "-t", table, "-S").splitlines()
            if line.startswith("-A ") and line.split(" ")[1] not in ours and line.rpartition(" -j ")[2] in ours
        ]  # fmt: skip
        lines = [f"*{table}", *(f":{chain} - [0:0]" for chain in ours)]
        lines += ["-D" + line.removeprefix("-A") for line in leading]
        lines += [f"-X {chain}" for chain in ours]
        _restore("\n".join([*lines, "COMMIT"]) + "\n")


def _chains(table: str, prefixes: tuple[str, ...]) -> list[str]:
    """The chains of `table` that begin so; none where there is no iptables."""
    try:
        listed = _run("iptables-nft-save", "-t", table)
    except NftError:
        return []
    return [line[1:].split(" ")[0] for line in listed.splitlines() if line.startswith(tuple(f":{p}" for p in prefixes))]


def _restore(text: str) -> None:
    _run("iptables-nft-restore", *_WAIT, "--noflush", stdin=text)


def _succeeds(*words: str) -> bool:
    try:
        _run("iptables-nft", *_WAIT, *words)
    except NftError:
        return False
    return True


def _run(*command: str, stdin: str = "") -> str:
    try:
        done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NftError(f"running {command[0]}: {error}; is the package iptables installed?") from error
    if done.returncode:
        raise NftError(" ".join(done.stderr.split())[:500])
    return done.stdout
