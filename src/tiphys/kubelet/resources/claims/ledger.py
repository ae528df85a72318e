"""The claims that are prepared on this node, and for which pods; kept in a file. Pure but for that.

Source: pkg/kubelet/cm/dra/claiminfo.go, state.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from tiphys.kubelet.resources.claims.messages import PreparedDevice


class PreparedClaim(msgspec.Struct):
    """A claim that drivers were asked to prepare."""

    namespace: str
    name: str
    uid: str
    pods: list[str]
    """UIDs."""
    drivers: dict[str, list[PreparedDevice]]
    """The devices by driver; none before it answered."""
    done: bool = False
    """Every driver has answered."""

    def devices_for(self, request: str) -> Iterator[tuple[str, PreparedDevice]]:
        """(driver, device) for a request of the claim; empty: for all. A request's alternatives count as it."""
        for driver, devices in self.drivers.items():
            for device in devices:
                names = device.request_names
                if not request or not names or any(name.split("/")[0] == request.split("/")[0] for name in names):
                    yield driver, device


class ClaimLedger:
    """By namespace and name. Every change is written before what follows from it is done."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._claims: dict[tuple[str, str], PreparedClaim] = {}
        try:
            saved = msgspec.json.decode(file.read_bytes(), type=list[PreparedClaim])
        except (OSError, ValueError):
            return
        self._claims = {(claim.namespace, claim.name): claim for claim in saved}

    def get(self, namespace: str, name: str) -> PreparedClaim | None:
        return self._claims.get((namespace, name))

    def put(self, claim: PreparedClaim) -> None:
        """Raises OSError."""
        self._claims[claim.namespace, claim.name] = claim
        self._save()

    def drop(self, claim: PreparedClaim) -> None:
        """Raises OSError."""
        self._claims.pop((claim.namespace, claim.name), None)
        self._save()

    def of(self, uid: str) -> list[PreparedClaim]:
        """The claims of a pod."""
        return [claim for claim in self._claims.values() if uid in claim.pods]

    def holders(self) -> Collection[str]:
        """UIDs of pods with claims."""
        return {uid for claim in self._claims.values() for uid in claim.pods}

    def _save(self) -> None:
        scratch = self._file.with_suffix(".new")
        scratch.write_bytes(msgspec.json.encode(list(self._claims.values())))
        os.replace(scratch, self._file)
