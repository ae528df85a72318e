"""`tiphys test-server`: a test cluster for programs in any language. `python -m tiphys.testing` is the same."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "A cluster for tests of any language: simulated nodes, nothing on disk; ends when its standard input does."


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="where to write it (a temporary file)")
    parser.add_argument("--nodes", type=int, default=2, help="how many simulated nodes (%(default)s)")
    parser.add_argument("--zones", default="", help="deal the nodes to these zones, separated by commas")
    parser.add_argument("--node-labels", default="", metavar="KEY=VALUE,...", help="labels of every node")
    parser.add_argument("--stages", type=Path, metavar="FILE", help="what pods live through, say and use")
    parser.add_argument("--secure-port", type=int, default=0, metavar="PORT", help="on 127.0.0.1 (any that is free)")
    parser.add_argument("--controllers", default="*", help="which to run: * is all, NAME adds, -NAME removes")
    parser.add_argument("--runtime-config", default="", help="API versions to turn on or off, as upstream's flag")
    parser.add_argument("--feature-gates", default="", help="features to turn on or off, as upstream's flag")
    parser.add_argument(
        "--log-level", default="WARNING", choices=("DEBUG", "INFO", "WARNING", "ERROR"), help="(%(default)s)"
    )


def run(options: argparse.Namespace) -> None:
    """Serve until standard input ends. Exits with 2 for flags that make no sense."""
    from tiphys.simulate.stages_file import Behaviour, StagesError, load
    from tiphys.testing.controlplane import TestClusterSettings
    from tiphys.testing.server import main

    labels = _words(options.node_labels)
    if options.nodes < 0 or any("=" not in label for label in labels):
        raise SystemExit("error: --nodes must not be negative, --node-labels are KEY=VALUE,...")
    try:
        behaviour = load(options.stages) if options.stages else Behaviour()
    except StagesError as error:
        raise SystemExit(f"error: {error}") from None
    settings = TestClusterSettings(
        nodes=options.nodes,
        port=options.secure_port,
        controllers=tuple(_words(options.controllers)),
        runtime_config=tuple(_words(options.runtime_config)),
        feature_gates=tuple(_words(options.feature_gates)),
        labels=dict(label.split("=", 1) for label in labels),
        zones=tuple(_words(options.zones)),
        behaviour=behaviour,
    )
    main(settings, options.kubeconfig, log_level=options.log_level)


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]
