"""`tiphys members`: the control planes of the cluster, and taking one out that will not come back."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable

from tiphys.cluster.failure import ClusterError

_DESCRIPTION = """The control planes that keep this cluster's etcd. Run it on a living one.

  tiphys members               who they are, who answers, who leads
  tiphys members remove NAME   one is dead for good (or was reset): the others forget it

To replace a dead one: remove it, run `tiphys token create --control-plane`, and the line that it prints on the new
machine. Do it soon: of three, a second loss stops the cluster. Where a majority is lost, a snapshot brings the cluster
back (`tiphys snapshot restore`).
"""


def add_command(
    command: Callable[[str, Callable[[argparse.Namespace], int | None], str], argparse.ArgumentParser],
) -> None:
    """Register with the command line."""
    parser = command("members", run, "The cluster's control planes: list them, take a dead one out.")
    parser.description, parser.formatter_class = _DESCRIPTION, argparse.RawDescriptionHelpFormatter
    parser.add_argument("action", choices=("ls", "remove"), nargs="?", default="ls")
    parser.add_argument("name", nargs="?", default="", help="remove: whom")


def run(options: argparse.Namespace) -> int:
    """The exit code: 1 where `ls` found one that does not answer. Raises ClusterError."""
    from tiphys.cluster.joining import etcd
    from tiphys.cluster.settings import DataDirectory

    settings = DataDirectory(options.data_dir).load_settings()
    if settings is None:
        raise ClusterError(f"no cluster in {options.data_dir}", "`tiphys up` makes one")
    if not settings.control_plane:
        raise ClusterError("this machine is a node, not a control plane", "run it on a control plane")
    if settings.etcd is None:
        raise ClusterError("this cluster has one control plane, with an embedded store", "`tiphys up --etcd` has more")
    if options.action == "remove":
        if not options.name:
            raise ClusterError("which one?", "`tiphys members` lists them")
        if settings.etcd_ports is not None and options.name == settings.etcd_name:
            raise ClusterError(f"{options.name} is this machine", "`tiphys reset` takes it out of the cluster")
        asyncio.run(etcd.go(settings.etcd, options.name))
        print(f"{options.name} is no member any more. If its node is gone, too: `tiphys kubectl delete node NODE`")
        return 0
    address = settings.etcd

    async def examined() -> int:
        async with etcd.membership(address) as asked:
            found = await asked.examined()
        print(f"{'NAME':20}{'STATE':16}{'PEERS':32}CLIENTS")
        for member in found:
            state = "leads" if member.leads else "answers" if member.answers else "silent"
            shown = f"{state}, learns" if member.learner else state
            name = member.name or "(not started)"
            print(f"{name:20}{shown:16}{' '.join(member.peer_urls):32}{' '.join(member.client_urls)}")
        return 0 if all(member.answers for member in found) else 1

    return asyncio.run(examined())
