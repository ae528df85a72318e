"""Simulated nodes, as part of a cluster (`tiphys up --runtime simulated`) and alone (`tiphys simulate`): their flags,
and the certificates that their kubelets' API serves with.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tiphys.cluster.failure import ClusterError

if TYPE_CHECKING:
    from tiphys.base.clock import Clock
    from tiphys.base.pki import KeyPair
    from tiphys.client.interface import Client
    from tiphys.cluster.settings import ClusterSettings, DataDirectory
    from tiphys.simulate.kubelet_api.certificates import Ask
    from tiphys.simulate.settings import SimulationSettings
    from tiphys.simulate.stages_file import Behaviour

_ISSUED_S = 15.0
"""How long a certificate that was asked for may take."""


def add_flags(simulate: argparse.ArgumentParser) -> None:
    """For `tiphys simulate`."""
    simulate.add_argument("--nodes", type=int, default=10, help="how many (%(default)s)")
    simulate.add_argument("--name-prefix", default="sim", help="what their names begin with (%(default)s)")
    simulate.add_argument("--zones", default="", help="deal them to these zones, separated by commas")
    simulate.add_argument("--stages", type=Path, metavar="FILE", help="what becomes of pods (docs/simulation.md)")
    simulate.add_argument("--seed", type=int, default=0, help="of chance and jitter (%(default)s)")
    simulate.add_argument(
        "--address",
        default="",
        help="where the nodes' logs, exec and the like are served, for all nodes alike (an address of 127.64.0.0/10 "
        "for each)",
    )
    simulate.add_argument("--port", type=int, default=0, help="the port of that (any free one)")
    simulate.add_argument(
        "--cluster-signing-cert-file",
        type=Path,
        help="the authority that API servers expect kubelets' certificates to be of (the data directory's, if it is "
        "there; else certificates are asked for by CertificateSigningRequest)",
    )
    simulate.add_argument("--cluster-signing-key-file", type=Path, help="its key")


def add_up_flags(up: argparse.ArgumentParser) -> None:
    """For `tiphys up`."""
    up.add_argument("--stages", type=Path, metavar="FILE", help="what becomes of simulated pods (docs/simulation.md)")
    up.add_argument("--zones", help="deal simulated nodes to these zones, separated by commas")


def chosen(options: argparse.Namespace) -> dict[str, object]:
    """Settings of a cluster that the flags of `tiphys up` change. Raises ClusterError."""
    found: dict[str, object] = {}
    if options.stages is not None:
        from tiphys.simulate.stages_file import StagesError, load

        try:
            load(options.stages)
            found["stages"] = options.stages.read_text(encoding="utf-8")
        except StagesError as error:
            raise ClusterError(str(error)) from error
    if options.zones is not None:
        found["zones"] = _words(options.zones)
    return found


def check(settings: ClusterSettings) -> None:
    """Refuse what only simulated nodes can do. Raises ClusterError."""
    if settings.runtime != "simulated" and (settings.stages or settings.zones):
        raise ClusterError("--stages and --zones are for simulated nodes", "add `--runtime simulated`")


def of_cluster(settings: ClusterSettings) -> tuple[SimulationSettings, Behaviour]:
    """What `tiphys up` kept. Raises StagesError where the kept file is of another version."""
    from tiphys.simulate.settings import SimulationSettings
    from tiphys.simulate.stages_file import Behaviour, parse

    behaviour = parse(settings.stages, "--stages") if settings.stages else Behaviour()
    return SimulationSettings(nodes=settings.nodes, zones=settings.zones, stages=behaviour.stages), behaviour


def of_flags(options: argparse.Namespace) -> tuple[SimulationSettings, Behaviour]:
    """What the flags of `tiphys simulate` say. Raises ClusterError."""
    from tiphys.simulate.settings import SimulationSettings
    from tiphys.simulate.stages_file import Behaviour, StagesError, load

    try:
        behaviour = load(options.stages, options.seed) if options.stages else Behaviour()
        settings = SimulationSettings(
            nodes=options.nodes,
            name_prefix=options.name_prefix,
            zones=_words(options.zones),
            stages=behaviour.stages,
            seed=options.seed,
        )
    except (StagesError, ValueError) as error:
        raise ClusterError(str(error)) from error
    return settings, behaviour


def signing_pair(data: DataDirectory, certificate: Path | None, key: Path | None) -> KeyPair | None:
    """The authority of the flags, else the data directory's, else none. Raises ClusterError."""
    from tiphys.base import pki

    if (certificate is None) != (key is None):
        raise ClusterError("--cluster-signing-cert-file and --cluster-signing-key-file go together")
    found = pki.PairPaths(certificate or data.pki / "ca.crt", key or data.pki / "ca.key")
    if certificate is None and not found.exist():
        return None
    try:
        return pki.load(found)
    except OSError as error:
        raise ClusterError(f"{error.filename}: {error.strerror}") from error


def by_request(client: Client, clock: Clock) -> Ask:
    """Has the cluster's authority sign, as it does for kubelets; whom `client` is must be allowed to approve that."""

    async def ask(names: Sequence[str]) -> KeyPair:
        from tiphys.cluster.joining.requests import approved, node_identity, obtain

        return await obtain(
            client, clock, node_identity(names[0]), names=names, timeout_s=_ISSUED_S, once_made=approved
        )

    return ask


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)
