"""What only so many pods of a node can have at once: host ports, disks that pods name themselves, claims.

Source: pkg/scheduler/framework/types.go (HostPortInfo, PVCRefCounts).
"""

from __future__ import annotations

from tiphys.scheduler.pods import PodRecord


class Holdings:
    """Who holds what where, by row of the table."""

    def __init__(self) -> None:
        self.ports: dict[tuple[str, int], dict[int, list[str]]] = {}
        """(protocol, port) to row to the host addresses it is taken on."""
        self.disks: dict[str, dict[int, list[bool]]] = {}
        """Disks named by pods themselves, to row, to whether each user only reads."""
        self.claim_users: dict[str, dict[int, int]] = {}
        """Claims in use (`namespace/name`), to row, to the number of pods there that use it."""
        self.claims_on: dict[int, dict[str, int]] = {}
        """The same by row."""

    def add(self, pod: PodRecord, row: int, sign: int) -> None:
        """`pod` came to the node of `row` (`sign` 1), or left it (-1)."""
        if pod.shape.disks:
            self._add_disks(pod, row, sign)
        if pod.claims:
            self._add_claims(pod, row, sign)
        for protocol, port, address in pod.shape.host_ports:
            rows = self.ports.setdefault((protocol, port), {})
            if sign > 0:
                rows.setdefault(row, []).append(address)
                continue
            taken = rows[row]
            taken.remove(address)
            if not taken:
                del rows[row]
                if not rows:
                    del self.ports[(protocol, port)]

    def _add_disks(self, pod: PodRecord, row: int, sign: int) -> None:
        for key, read_only in pod.shape.disks:
            rows = self.disks.setdefault(key, {})
            users = rows.setdefault(row, [])
            if sign > 0:
                users.append(read_only)
                continue
            users.remove(read_only)
            if not users:
                del rows[row]
                if not rows:
                    del self.disks[key]

    def _add_claims(self, pod: PodRecord, row: int, sign: int) -> None:
        for name, _ in pod.claims:
            key = f"{pod.namespace}/{name}"
            users, claims = self.claim_users.setdefault(key, {}), self.claims_on.setdefault(row, {})
            users[row] = claims[key] = users.get(row, 0) + sign
            if users[row]:
                continue
            del users[row], claims[key]
            if not users:
                del self.claim_users[key]
            if not claims:
                del self.claims_on[row]
