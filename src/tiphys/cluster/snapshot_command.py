"""`tiphys snapshot save|restore|ls`, and the flags of `tiphys up` that take them regularly."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tiphys.cluster.failure import ClusterError

if TYPE_CHECKING:
    from tiphys.cluster.settings import DataDirectory


def add_command(
    command: Callable[[str, Callable[[argparse.Namespace], int | None], str], argparse.ArgumentParser],
) -> None:
    """Register with the command line."""
    parser = command("snapshot", run, "Back a cluster up while it runs, and make a new one of a backup.")
    actions = parser.add_subparsers(dest="action", metavar="save|restore|ls", required=True)
    save = actions.add_parser("save", help="take one, while the cluster runs or not")
    save.add_argument("--to", type=Path, metavar="PATH", help="where (DATA-DIR/snapshots/TIME)")
    save.add_argument("--keep", type=int, default=0, metavar="N", help="delete all but the newest N below DATA-DIR")
    restore = actions.add_parser("restore", help="make a new data directory of one")
    restore.add_argument("path", type=Path, help="the snapshot")
    for action in (save, restore, actions.add_parser("ls", help="list those below DATA-DIR")):
        action.add_argument("--data-dir", type=Path, metavar="DIR", default=argparse.SUPPRESS)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """For `tiphys up`."""
    parser.add_argument("--snapshot-interval", metavar="TIME", help="take snapshots this often (6h; 0: never)")
    parser.add_argument("--snapshot-keep", type=int, metavar="N", help="how many of these are kept (10)")


def chosen(options: argparse.Namespace) -> dict[str, object]:
    """Settings that the flags change. Raises ClusterError."""
    found: dict[str, object] = {}
    if options.snapshot_interval is not None:
        from tiphys.apiserver.configfile import seconds

        try:
            found["snapshot_interval_s"] = max(0.0, seconds(options.snapshot_interval))
        except ValueError as error:
            raise ClusterError(f"--snapshot-interval: {error}") from error
    if options.snapshot_keep is not None:
        found["snapshot_keep"] = max(1, options.snapshot_keep)
    return found


def run(options: argparse.Namespace) -> None:
    """Raises ClusterError."""
    from tiphys.cluster import snapshots
    from tiphys.cluster.settings import DataDirectory

    data = DataDirectory(options.data_dir)
    if options.action == "ls":
        print(f"{'TAKEN':22}{'REVISION':>10}{'SIZE':>12}  {'STORE':10}PATH")
        for path, said in snapshots.list_all(data.snapshots):
            print(f"{said.taken:22}{said.revision:>10}{said.size_bytes:>12}  {said.store:10}{path}")
    elif options.action == "save":
        _save(data, options)
    else:
        said = snapshots.restore(options.path, data)
        print(f"{data.root} holds the cluster as it was at {said.taken}, revision {said.revision}: start it with")
        print(f"  tiphys up --data-dir {data.root}")


def _save(data: DataDirectory, options: argparse.Namespace) -> None:
    from tiphys.base.clock import SystemClock
    from tiphys.cluster import snapshots
    from tiphys.cluster.settings import ClusterSettings

    now = SystemClock().now()
    target = options.to or data.snapshots / snapshots.name_of(now)
    made = snapshots.save(data, data.load_settings() or ClusterSettings(), target.absolute(), now)
    print(f"revision {made.revision}, {made.size_bytes} bytes, verified: {target}")
    if options.keep:
        for gone in snapshots.prune(data.snapshots, options.keep):
            print(f"deleted {gone}")
