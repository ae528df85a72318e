"""`TestCluster`: a whole cluster for tests, as the fixture `cluster` hands it out. See docs/testing-operators.md."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from tiphys.testing.access import Access, RequestFailed
from tiphys.testing.manifests import Manifests
from tiphys.testing.process import ClusterProcess, TestClusterError

T = TypeVar("T")

_POLL_S = 0.02

__all__ = ["RequestFailed", "TestCluster", "TestClusterError"]


class Fault:
    """An injected fault; leave the `with` block, or call `remove`, to end it."""

    def __init__(self, process: ClusterProcess, id_: int) -> None:
        self._process, self._id = process, id_
        self.struck = 0
        """How many requests it struck; known once it has ended."""

    def remove(self) -> None:
        if self._id:
            self.struck = self._process.do("clear_faults", id=self._id)
            self._id = 0

    def __enter__(self) -> Fault:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.remove()


class TestCluster(Access):
    """A running cluster, used as its administrator. `stop` when done; it stops with this process in any case."""

    __test__ = False

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        """`arguments` are flags of `tiphys test-server`. Returns when the cluster is ready. Raises TestClusterError."""
        self._process = ClusterProcess(arguments)
        self._endings: list[Callable[[], object]] = []
        try:
            ready = self._process.wait_ready()
        except BaseException:
            self._process.stop()
            raise
        self._directory = Path(tempfile.mkdtemp(prefix="tiphys-test-users-"))
        super().__init__(ready["server"], Path(ready["kubeconfig"]), self._endings.append)
        self._manifests = Manifests(self)

    @property
    def pid(self) -> int:
        """Of the cluster's process."""
        return self._process.pid

    def stop(self) -> None:
        """End the cluster and what it handed out; idempotent."""
        while self._endings:
            with contextlib.suppress(Exception):  # a client that cannot be closed must not keep the cluster alive
                self._endings.pop()()
        self._process.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    # Objects.

    def apply(
        self, manifests: str | Path | Mapping[str, Any] | Sequence[Mapping[str, Any]], namespace: str = ""
    ) -> None:
        """Server-side apply of YAML text, a file or directory of YAML, or decoded objects. Returns when custom
        resource definitions among them are served. `namespace`: for objects that name none. Raises RequestFailed."""
        self._manifests.apply(manifests, namespace or "default")

    def until(self, check: Callable[[], T], timeout_s: float = 30.0, what: str = "") -> T:
        """The first true thing that `check` returns, asked again and again; exceptions of the API count as false.

        Raises TimeoutError with what the cluster looked like.
        """
        end_s, last = time.monotonic() + timeout_s, ""
        while True:
            try:
                found = check()
                if found:
                    return found
                last = ""
            except Exception as error:  # noqa: BLE001 # each library has its own, and any may be of the moment
                last = f" (last: {type(error).__name__}: {error})"
            if time.monotonic() > end_s:
                raise TimeoutError(f"not within {timeout_s:g} s: {what or check}{last}\n{self.picture()}") from None
            time.sleep(_POLL_S)

    # Users.

    def user(
        self,
        name: str,
        groups: Sequence[str] = (),
        rules: Sequence[Mapping[str, Sequence[str]]] = (),
        namespace: str = "",
    ) -> Access:
        """A user with a certificate, and with a role of these RBAC `rules` (in `namespace`, or everywhere)."""
        made = self._process.do("user", name=name, groups=list(groups))
        if rules:
            self._grant(name, rules, namespace)
        path = self._directory / f"{len(list(self._directory.iterdir()))}.kubeconfig"
        path.write_text(_kubeconfig(self.server, name, made, namespace))
        path.chmod(0o600)
        return Access(self.server, path, self._endings.append)

    def _grant(self, user: str, rules: Sequence[Mapping[str, Sequence[str]]], namespace: str) -> None:
        kind = "Role" if namespace else "ClusterRole"
        group = "rbac.authorization.k8s.io"
        name = "test-" + "".join(c if c.isalnum() else "-" for c in user.lower())
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        full = [{"apiGroups": [""], **rule} if "resources" in rule else dict(rule) for rule in rules]
        self.apply([
            {"apiVersion": f"{group}/v1", "kind": kind, "metadata": metadata, "rules": full},
            {
                "apiVersion": f"{group}/v1",
                "kind": f"{kind}Binding",
                "metadata": metadata,
                "roleRef": {"apiGroup": group, "kind": kind, "name": name},
                "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
            },
        ])  # fmt: skip

    # Time.

    def now(self) -> datetime:
        """The cluster's time."""
        return datetime.fromisoformat(self._process.do("now"))

    def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> datetime:
        """Let so much time pass at once: what falls due happens, in order. Returns the cluster's new time."""
        total_s = seconds + 60 * minutes + 3600 * hours + 86400 * days
        return datetime.fromisoformat(self._process.do("advance", seconds=total_s))

    async def advance_async(
        self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0
    ) -> datetime:
        """`advance` without holding the event loop, where what is tested runs on it."""
        return await asyncio.to_thread(self.advance, seconds, minutes=minutes, hours=hours, days=days)

    def rest(self) -> None:
        """Return when controllers, scheduler and nodes have nothing to do at this moment."""
        self._process.do("rest")

    # Trouble.

    def fault(
        self,
        status: int = 500,
        *,
        verbs: Sequence[str] = (),
        resource: str = "",
        group: str = "*",
        namespace: str = "*",
        name: str = "*",
        user: str = "*",
        times: int = 0,
        chance: float = 1.0,
        message: str = "",
        retry_after_s: int = 0,
        delay_s: float = 0.0,
    ) -> Fault:
        """From now on matching requests over the network are refused with `status`; the cluster itself is spared.

        `resource` (`pods`, `deployments/status`), `group`, `namespace`, `name`, `user` are shell-like patterns, `verbs`
        those of RBAC. `times`: how many are struck, 0 for all. Status 0 serves the request after `delay_s`, -1 breaks
        the connection. Raises TestClusterError for any other that is no refusal.
        """
        id_ = self._process.do(
            "fault", status=status, verbs=list(verbs), resource=resource, group=group, namespace=namespace, name=name,
            user=user, times=times, chance=chance, message=message, retry_after_s=retry_after_s, delay_s=delay_s,
        )  # fmt: skip
        return Fault(self._process, id_)

    def drop_watches(self, resource: str = "*") -> int:
        """End the open watches of these resources (a pattern); returns how many there were."""
        return int(self._process.do("drop_watches", resource=resource))

    def lose_node(self, name: str) -> None:
        """A node falls silent. `advance(minutes=1)` makes it NotReady, six more evict its pods."""
        self._process.do("lose_node", name=name)

    def find_node(self, name: str) -> None:
        """A lost node comes back; one that was deleted registers again."""
        self._process.do("find_node", name=name)

    # Looking back.

    def requests(self, **wanted: object) -> list[dict[str, Any]]:
        """The requests over the network since the test began, oldest first: time, method, path, query, verb, group,
        resource, namespace, name, user, agent, status, duration_ms, fault. `wanted` fields must be equal."""
        found: list[dict[str, Any]] = self._process.do("requests")
        return [r for r in found if all(r.get(field, "") == value for field, value in wanted.items())]

    def picture(self) -> str:
        """What the cluster looks like: objects that the test changed, nodes, events, the last requests."""
        return str(self._process.do("picture"))

    # Snapshots.

    def mark(self) -> None:
        """From here on, what changes is undone by `reset`. The fixture does it before each test."""
        self._process.do("mark")

    def reset(self) -> int:
        """Every object is again as it was at the mark, nodes are back, faults gone; time stays where it is.

        Returns how many objects that took. The fixture does it after each test.
        """
        return int(self._process.do("reset"))

    @contextlib.contextmanager
    def undone(self) -> Iterator[None]:
        """What changes in the `with` block is undone at its end."""
        self.mark()
        try:
            yield
        finally:
            self.reset()


def _kubeconfig(server: str, user: str, made: Mapping[str, str], namespace: str) -> str:
    from tiphys.client import kubeconfig

    return kubeconfig.render(
        kubeconfig.Access(
            server,
            ca=made["ca"].encode(),
            client_certificate=made["certificate"].encode(),
            client_key=made["key"].encode(),
            namespace=namespace or "default",
        ),
        user=user,
    )
