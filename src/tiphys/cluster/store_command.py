"""`tiphys store`: look after the embedded store while the cluster is stopped, and move objects to or from etcd."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypeVar

from tiphys.cluster import etcd_flags
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.settings import DataDirectory
from tiphys.store.interface import StoreError

T = TypeVar("T")


def add_command(
    command: Callable[[str, Callable[[argparse.Namespace], int | None], str], argparse.ArgumentParser],
) -> None:
    """Register with the command line."""
    parser = command("store", run, "The embedded store of a stopped cluster: check, compact, defrag, migrate.")
    parser.add_argument(
        "action",
        choices=("check", "compact", "defrag", "migrate"),
        help="check: verify every record; compact: forget history; defrag: give free space back to the disk; "
        "migrate: copy all objects to another store, which must be empty",
    )
    parser.add_argument("--db", type=Path, metavar="DIR", help="a database directory (DATA-DIR/db)")
    parser.add_argument("--revision", type=int, default=0, help="compact: what to keep history from (now)")
    parser.add_argument("--from-etcd", default="", metavar="URLS", help="migrate: from this etcd (else the database)")
    parser.add_argument("--to-etcd", default="", metavar="URLS", help="migrate: to this etcd (else the database)")
    etcd_flags.add_file_flags(parser)


def run(options: argparse.Namespace) -> int:
    """The exit code: 1 where `check` found something. Raises ClusterError."""
    path: Path = options.db or DataDirectory(options.data_dir).db
    try:
        if options.action == "check":
            return _check(path)
        if options.action == "compact":
            from tiphys.store.embedded import offline

            print(f"{path} is compacted at revision {_wait(offline.compact(path, options.revision))}")
        elif options.action == "defrag":
            from tiphys.store.embedded import offline

            before, after = offline.defragment(path)
            print(f"{path} had {before} bytes and has {after}")
        else:
            _migrate(options, path)
    except StoreError as error:
        raise ClusterError(str(error)) from error
    return 0


def _wait(work: Coroutine[object, object, T]) -> T:
    return asyncio.run(work)


def _check(path: Path) -> int:
    from tiphys.store.embedded import offline

    report = offline.check(path)
    print(f"{path}: revision {report.revision}, compacted at {report.compact_revision}")
    print(f"{report.keys} keys, {report.records} records, {report.size_bytes} bytes")
    for problem in report.problems:
        print(f"problem: {problem}")
    print("damaged: restore a snapshot (`tiphys snapshot restore`)" if report.problems else "all is well")
    return 1 if report.problems else 0


def _migrate(options: argparse.Namespace, path: Path) -> None:
    from tiphys.store.migration import migrate

    if bool(options.from_etcd) == bool(options.to_etcd):
        raise ClusterError("migrate needs exactly one of --from-etcd and --to-etcd", "the other side is the database")
    etcd = etcd_flags.address(options.from_etcd or options.to_etcd, options)
    if etcd is None:
        raise ClusterError("migrate needs an etcd")
    source, target = (etcd, path) if options.from_etcd else (path, etcd)
    moved = _wait(migrate(source, target))
    _note(options, "" if options.from_etcd else options.to_etcd, path)
    print(f"{moved.keys} keys are copied and compared; the cluster goes on at revision {moved.revision}")
    print("the old store is as it was: delete it when all is well")


def _note(options: argparse.Namespace, servers: str, path: Path) -> None:
    """Let the next `tiphys up` of this data directory accept the other store."""
    data = DataDirectory(options.data_dir)
    if data.load_settings() is None or path != data.db:
        return
    from tiphys.cluster.up import store_name

    data.moved_mark.write_text(store_name(data, etcd_flags.address(servers, options) if servers else None))
