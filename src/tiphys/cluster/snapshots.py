"""Snapshots of a cluster: hot, verified, complete or absent. One directory each, below DATA-DIR/snapshots.

    2026-03-01T04.05.06Z-r1234/
        snapshot.json   what it is, and the SHA-256 of the data
        cluster.json    settings of the cluster, less what is this machine's alone
        db/             a data directory of the embedded store, or
        etcd.db         etcd's own snapshot, which its tools read as well
        pki/            keys and certificates: without them nobody's credentials would be good after a restoration

A process of its own can take one while the cluster runs: LMDB and etcd both give one moment of their data to readers.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import msgspec

from tiphys.base.clock import Clock, rfc3339
from tiphys.cluster import etcd_members
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.settings import ClusterSettings, DataDirectory
from tiphys.store.interface import StoreError

log = logging.getLogger(__name__)
_DESCRIPTION, _SETTINGS = "snapshot.json", "cluster.json"
_MACHINES_OWN = ("number", "etcd", "etcd_ports", "etcd_host", "etcd_name", "etcd_peers", "advertise_address", "joined")
"""Settings that a restored cluster finds anew."""


class Snapshot(msgspec.Struct, frozen=True):
    """What `snapshot.json` says."""

    taken: str
    """RFC 3339."""
    revision: int
    store: str
    """`embedded` or `etcd`"""
    size_bytes: int
    sha256: str


def save(data: DataDirectory, settings: ClusterSettings, target: Path, now: datetime) -> Snapshot:
    """Take one at `target`, which must not exist. Blocks. Raises ClusterError."""
    if target.exists():
        raise ClusterError(f"{target} exists", "give the snapshot a new path")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True, mode=0o700)
        revision, file = _copy(data, settings, partial)
        if data.pki.is_dir():
            shutil.copytree(data.pki, partial / "pki")
        usual = ClusterSettings()
        kept = msgspec.structs.replace(settings, **{name: getattr(usual, name) for name in _MACHINES_OWN})
        (partial / _SETTINGS).write_bytes(msgspec.json.format(msgspec.json.encode(kept)))
        kind = "embedded" if settings.etcd is None else "etcd"
        made = Snapshot(rfc3339(now), revision, kind, file.stat().st_size, _digest(file))
        description = partial / _DESCRIPTION
        description.write_bytes(msgspec.json.format(msgspec.json.encode(made)))
        for path in (description, partial / _SETTINGS, partial):
            _sync(path)
        partial.rename(target)
        _sync(target.parent)
    except StoreError as error:
        raise ClusterError(str(error)) from error
    except OSError as error:
        raise ClusterError(f"the snapshot {target} could not be written: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return made


def _copy(data: DataDirectory, settings: ClusterSettings, into: Path) -> tuple[int, Path]:
    """(revision, the file with the data). What was copied from the embedded store is read through once."""
    if settings.etcd is not None:
        from tiphys.store.etcd.store import EtcdStore

        address = settings.etcd

        async def stream() -> int:
            store = await EtcdStore.open(address)
            try:
                return await store.snapshot(str(into / "etcd.db"))
            finally:
                await store.close()

        return asyncio.run(stream()), into / "etcd.db"
    from tiphys.store.embedded import offline
    from tiphys.store.embedded.disk import hot_copy

    hot_copy(data.db, into / "db")
    report = offline.check(into / "db")
    if report.problems:
        raise StoreError(f"the database is damaged: {report.problems[0]}")
    return report.revision, into / "db" / "data.mdb"


def describe(path: Path) -> Snapshot:
    """Raises ClusterError where there is none."""
    try:
        return msgspec.json.decode((path / _DESCRIPTION).read_bytes(), type=Snapshot)
    except (OSError, msgspec.MsgspecError) as error:
        raise ClusterError(f"{path} is not a snapshot", "`tiphys snapshot ls` lists them") from error


def verify(path: Path) -> Snapshot:
    """Whether the data is what was taken. Raises ClusterError."""
    said = describe(path)
    file = _file(path, said)
    if not file.exists() or _digest(file) != said.sha256:
        raise ClusterError(f"the snapshot {path} is damaged", "use another one")
    return said


def _file(path: Path, said: Snapshot) -> Path:
    return path / "db" / "data.mdb" if said.store == "embedded" else path / "etcd.db"


def restore(path: Path, data: DataDirectory) -> Snapshot:
    """Make a new cluster's data directory of a snapshot; `tiphys up` then starts it. Raises ClusterError.

    Of an etcd it is the first member of a new one, which other control planes can join.
    """
    said = verify(path)
    settings = _settings(path)
    if data.settings_file.exists() or (data.db.exists() and any(data.db.iterdir())) or (data.root / "etcd").exists():
        raise ClusterError(f"{data.root} already holds a cluster", "name a new directory with --data-dir")
    data.create()
    if (path / "pki").is_dir():
        shutil.copytree(path / "pki", data.pki, dirs_exist_ok=True)
    if said.store == "embedded":
        shutil.rmtree(data.db)
        partial = data.db.with_name("db.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(path / "db", partial)
        partial.rename(data.db)
        _sync(data.root)
    else:
        settings = _restore_etcd(path / "etcd.db", data, settings)
    data.save_settings(settings)
    return said


def _settings(path: Path) -> ClusterSettings:
    """Those of the cluster. Raises ClusterError."""
    try:
        return msgspec.json.decode((path / _SETTINGS).read_bytes(), type=ClusterSettings)
    except FileNotFoundError:  # of a time when snapshots had none
        return ClusterSettings()
    except (OSError, msgspec.MsgspecError) as error:
        raise ClusterError(f"{path / _SETTINGS} cannot be read ({error})", "use the version that took it") from error


def _restore_etcd(file: Path, data: DataDirectory, settings: ClusterSettings) -> ClusterSettings:
    """A single member of our own, from which others can join. etcd's tool does it, which also checks the file."""
    client_port, peer_port = etcd_members.free_ports(2)
    member = etcd_members.managed_member(data.root, (client_port, peer_port))
    ran = subprocess.run(
        etcd_members.restore_arguments(file, member),
        env={**os.environ, "ETCDCTL_API": "3"}, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    if ran.returncode:
        raise ClusterError(f"etcd's snapshot could not be restored: {ran.stderr.strip()[-500:]}")
    where = etcd_members.managed_certificates(data.pki).address((member,))
    return msgspec.structs.replace(settings, etcd=where, etcd_ports=(client_port, peer_port))


def list_all(directory: Path) -> list[tuple[Path, Snapshot]]:
    """Those below `directory`, the oldest first."""
    found = [path for path in directory.iterdir() if (path / _DESCRIPTION).exists()] if directory.is_dir() else []
    return sorted(((path, describe(path)) for path in found), key=lambda item: (item[1].taken, item[1].revision))


def prune(directory: Path, keep: int) -> list[Path]:
    """Delete all but the newest `keep`; returns those that went."""
    gone = [path for path, _ in list_all(directory)[: -keep or None]]
    for path in gone:
        shutil.rmtree(path)
    return gone


def name_of(now: datetime) -> str:
    """The directory of a snapshot taken now: names sort by time, and are good on every file system."""
    return now.strftime("%Y-%m-%dT%H.%M.%SZ")


async def take_regularly(data: DataDirectory, settings: ClusterSettings, clock: Clock) -> None:
    """Until cancelled: one every `snapshot_interval_s`, keeping `snapshot_keep`.

    In a process of its own: a database can be opened once in a process, and reading it all takes the interpreter.
    """
    command = (sys.executable, "-m", "tiphys", "snapshot", "save", "--data-dir", str(data.root))
    while True:
        await clock.sleep(settings.snapshot_interval_s)
        child = await asyncio.create_subprocess_exec(
            *command, f"--keep={settings.snapshot_keep}", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        _, problem = await child.communicate()
        if child.returncode:
            log.error("no snapshot: %s", problem.decode(errors="replace").strip()[-500:])


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
