"""A DRA driver as a vendor would write one: it lists lamps, and gives `/dev/full` under their names by CDI."""

from __future__ import annotations

import json
from pathlib import Path

from tiphys.api.meta.schema import Struct
from tiphys.client.registration import registration
from tiphys.client.sockets import Method, SocketServer
from tiphys.kubelet.resources.claims import messages as m

DRIVER = "lamps.example.com"
_SERVICE = m.SERVICES["v1.DRAPlugin"]


class LampDriver:
    """`prepared` has the claims by UID; `refuses` makes preparing fail."""

    def __init__(self, kubelet_dir: Path, cdi_dir: Path, lamps: list[str]) -> None:
        self._lamps, self._spec = lamps, cdi_dir / "tiphys-test-lamps.json"
        self.prepared: dict[str, str] = {}
        self.refuses = ""
        endpoint = kubelet_dir / "plugins" / DRIVER / "dra.sock"
        methods = {
            _SERVICE + "NodePrepareResources": Method(m.ClaimsRequest, self._prepare),
            _SERVICE + "NodeUnprepareResources": Method(m.ClaimsRequest, self._unprepare),
        }
        about = registration(DRIVER, endpoint, lambda _: None, kind="DRAPlugin", versions=["v1.DRAPlugin"])
        self._servers = [
            SocketServer(endpoint, methods),
            SocketServer(kubelet_dir / "plugins_registry" / f"{DRIVER}.sock", about),
        ]

    async def start(self) -> None:
        self._spec.parent.mkdir(parents=True, exist_ok=True)
        devices = [
            {
                "name": lamp,
                "containerEdits": {
                    "env": [f"LAMP_{lamp.upper()}=lit"],
                    "deviceNodes": [{"path": f"/dev/{lamp}", "hostPath": "/dev/full"}],
                },
            }
            for lamp in self._lamps
        ]
        spec = {"cdiVersion": "0.6.0", "kind": "example.com/lamp", "devices": devices}
        self._spec.write_text(json.dumps(spec))
        for server in self._servers:
            await server.start()

    async def stop(self) -> None:
        for server in reversed(self._servers):
            await server.stop()
        self._spec.unlink(missing_ok=True)

    def slice(self, node_name: str) -> dict[str, object]:
        """What it publishes."""
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": f"{node_name}-lamps"},
            "spec": {
                "driver": DRIVER,
                "nodeName": node_name,
                "pool": {"name": node_name, "generation": 1, "resourceSliceCount": 1},
                "devices": [{"name": lamp} for lamp in self._lamps],
            },
        }

    async def _prepare(self, request: m.ClaimsRequest) -> Struct:
        if self.refuses:
            return m.PrepareAnswer(claims={c.uid: m.PrepareResult(error=self.refuses) for c in request.claims})
        results = {}
        for claim in request.claims:
            lamp = self._lamps[len(self.prepared) % len(self._lamps)]
            self.prepared[claim.uid] = claim.name
            device = m.PreparedDevice(device_name=lamp, cdi_device_ids=[f"example.com/lamp={lamp}"])
            results[claim.uid] = m.PrepareResult(devices=[device])
        return m.PrepareAnswer(claims=results)

    async def _unprepare(self, request: m.ClaimsRequest) -> Struct:
        for claim in request.claims:
            self.prepared.pop(claim.uid, None)
        return m.UnprepareAnswer(claims={claim.uid: m.UnprepareResult() for claim in request.claims})
