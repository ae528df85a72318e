"""The `tiphys` command: the only place that reads flags and the environment.

Start-up counts (a shell completes, a script loops), so each command imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tiphys import __version__
from tiphys.cluster.failure import ClusterError

_DESCRIPTION = """Kubernetes, the whole system, in Python.

Start here:
  tiphys up                 a cluster on this machine (real containers where it can, simulated nodes where not)
  tiphys kubectl get nodes  speak to it
  tiphys down               stop it; the data stays
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Problems are told in a sentence, never as a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["kubectl"]:
        from tiphys.kubectl.main import main as kubectl

        return kubectl(arguments[1:])
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int | None] = options.run
    try:
        return run(options) or 0
    except ClusterError as error:
        print(f"error: {error.problem}", file=sys.stderr)
        if error.remedy:
            print(f"       {error.remedy}", file=sys.stderr)
        return 1
    except OSError as error:
        print(told(error, getattr(options, "data_dir", None)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def told(error: OSError, data_dir: Path | None) -> str:
    """What the system refused, where, and for a full disk what helps."""
    place = error.filename or (data_dir if error.errno == errno.ENOSPC else None)
    text = f"error: {error.strerror or error}{f': {place}' if place else ''}"
    return f"{text}\n       free some of that disk, then run the command again" if error.errno == errno.ENOSPC else text


def _parser() -> argparse.ArgumentParser:
    from tiphys.cluster import etcd_flags, image_command, simulation, snapshot_command, store_command
    from tiphys.cluster.joining import join_command, members_command, token_command
    from tiphys.cluster.settings import IPVS_SCHEDULERS, PROXY_MODES, default_data_dir

    parser = argparse.ArgumentParser(
        prog="tiphys",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tiphys {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument(
            "--data-dir",
            type=Path,
            default=default_data_dir(),
            metavar="DIR",
            help="where the cluster lives (%(default)s)",
        )
        sub.set_defaults(run=run)
        return sub

    up = command("up", _up, "Start a cluster, or bring a stopped one back. Safe to repeat.")
    up.add_argument("--nodes", type=_count, help="how many nodes (1); several get a network namespace each")
    up.add_argument(
        "--runtime", choices=("containerd", "simulated"), help="real containers (default), or nodes that only pretend"
    )
    up.add_argument(
        "--isolated", action="store_true", default=None, help="a single node, too, gets a network namespace of its own"
    )
    up.add_argument("--api-port", type=_port, metavar="PORT", help="the API server's port on 127.0.0.1 (6443)")
    up.add_argument(
        "--pod-network", metavar="KIND", help="host-gw (default), vxlan, or the path of a CNI configuration"
    )
    up.add_argument("--proxy-mode", choices=PROXY_MODES, help="how Services are made to work: %(choices)s (nftables)")
    up.add_argument("--ipvs-scheduler", choices=IPVS_SCHEDULERS, help="how the proxy mode ipvs picks endpoints (rr)")
    up.add_argument("--dual-stack", action="store_true", help="IPv6 addresses, too, for pods, Services and nodes")
    up.add_argument("--cluster-cidr", metavar="CIDRS", help="the pods' addresses; an IPv6 range may follow by a comma")
    up.add_argument("--service-cidr", metavar="CIDRS", help="the Services' addresses, likewise")
    up.add_argument("--mtu", type=_mtu, help="what pods' links carry (as much as the network leaves room for)")
    etcd_flags.add_up_flags(up)
    snapshot_command.add_flags(up)
    simulation.add_up_flags(up)
    up.add_argument(
        "--advertise-address", metavar="IP", help="where other machines reach the API server (the default route's)"
    )
    up.add_argument("--install", action="store_true", help="install missing Debian packages, saying which")
    install = command("install", _install, "Install the Debian packages that real nodes need, saying which and why.")
    install.add_argument("--etcd", action="store_true", help="etcd, too")
    command("down", _down, "Stop the cluster: processes, containers, mounts, links, rules. The data stays.")
    command("reset", _reset, "Stop the cluster and delete all its data.")
    command("status", _status, "Show what runs.")
    nodes = command("nodes", _nodes, "Fail a node, or bring it back: power off, link cut, restored.")
    nodes.add_argument("action", choices=("stop", "cut", "restore"))
    nodes.add_argument("name", metavar="NODE", help="for example node-2")
    command("kubeconfig", _kubeconfig, "Print the admin's kubeconfig (tiphys kubeconfig > ~/.kube/config).")
    commands.add_parser(
        "kubectl",
        help="The command line for the API: get, apply, logs, exec, ... (tiphys kubectl --help)",
        add_help=False,
    )
    image_command.add_command(command)
    for joining in (token_command, join_command, members_command):
        joining.add_command(command)
    store_command.add_command(command)
    snapshot_command.add_command(command)
    _add_components(command)
    return parser


def _add_components(command: Callable[..., argparse.ArgumentParser]) -> None:
    from tiphys.cluster.components import add_commands as add_component_commands
    from tiphys.cluster.csi_commands import add_commands as add_csi_commands
    from tiphys.testing import command as test_server

    command("supervise", _supervise, "Keep the processes of a cluster running (what `up` starts in the background).")
    command("control-plane", _control_plane, "API server, controllers and scheduler in one process.")
    node = command("node", _node, "Kubelet, kube-proxy, pod network and DNS of one node in one process.")
    node.add_argument("--name", required=True, help="the node's name")
    add_component_commands(command)
    add_csi_commands(command)
    test_server.add_flags(command("test-server", test_server.run, test_server.SUMMARY))


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 20_000:
        raise argparse.ArgumentTypeError("must be between 1 and 20000")
    return value


def _mtu(text: str) -> int:
    value = int(text)
    if not 576 <= value <= 65535:
        raise argparse.ArgumentTypeError("must be between 576 and 65535")
    return value


def _pod_network(text: str | None) -> str | None:
    from tiphys.network.pod_network import BACKENDS

    if text is None or text in BACKENDS:
        return text
    if not Path(text).is_file():
        raise ClusterError(
            f"{text}: neither {' nor '.join(BACKENDS)} nor a file", "name one of them, or a CNI configuration"
        )
    return str(Path(text).absolute())


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError("must be between 1 and 65535")
    return value


def _up(options: argparse.Namespace) -> None:
    import msgspec

    from tiphys.cluster import etcd_flags, simulation, snapshot_command
    from tiphys.cluster.progress import Progress
    from tiphys.cluster.settings import ClusterSettings, DataDirectory
    from tiphys.cluster.up import up

    data, progress = DataDirectory(options.data_dir), Progress()
    chosen: dict[str, object] = {
        name: value
        for name, value in (
            ("nodes", options.nodes),
            ("runtime", options.runtime),
            ("isolated", options.isolated),
            ("api_port", options.api_port),
            ("pod_network", _pod_network(options.pod_network)),
            ("mtu", options.mtu),
            ("proxy_mode", options.proxy_mode),
            ("ipvs_scheduler", options.ipvs_scheduler),
            ("pod_cidr", options.cluster_cidr),
            ("service_cidr", options.service_cidr),
            ("advertise_address", options.advertise_address),
        )
        if value is not None
    }
    chosen |= etcd_flags.chosen(options, data) | snapshot_command.chosen(options) | simulation.chosen(options)
    wanted = msgspec.structs.replace(data.load_settings() or ClusterSettings(), **chosen)
    up(data, wanted, progress, install=options.install, dual_stack=options.dual_stack)
    where = "" if options.data_dir == _default_dir() else f" --data-dir {options.data_dir}"
    progress.say()
    progress.say("Next:")
    for line, why in (
        (f"tiphys kubectl{where} get nodes -o wide", "look around"),
        (f"tiphys kubectl{where} create deployment web --image=busybox:1 --replicas=3 -- sleep inf", "run something"),
        (f"tiphys kubeconfig{where} > ~/.kube/config", "use any other client"),
    ):
        progress.say(f"  {progress.paint(line, '1')}   # {why}")


def _default_dir() -> Path:
    from tiphys.cluster.settings import default_data_dir

    return default_data_dir()


def _install(options: argparse.Namespace) -> None:
    from tiphys.cluster import preflight
    from tiphys.cluster.progress import Progress

    obstacle = preflight.obstacle()
    if obstacle:
        print(f"Nothing installed: {obstacle}.", file=sys.stderr)
        return
    needs = preflight.missing((*preflight.NEEDS, *(preflight.ETCD_NEEDS if options.etcd else ())))
    if needs:
        preflight.install(needs, Progress())


def _down(options: argparse.Namespace) -> None:
    from tiphys.cluster.down import down
    from tiphys.cluster.progress import Progress
    from tiphys.cluster.settings import DataDirectory

    down(DataDirectory(options.data_dir), Progress())


def _reset(options: argparse.Namespace) -> None:
    from tiphys.cluster.down import reset
    from tiphys.cluster.progress import Progress
    from tiphys.cluster.settings import DataDirectory

    reset(DataDirectory(options.data_dir), Progress())


def _status(options: argparse.Namespace) -> int:
    from tiphys.cluster.settings import DataDirectory
    from tiphys.cluster.status import show

    return show(DataDirectory(options.data_dir))


def _nodes(options: argparse.Namespace) -> None:
    from tiphys.cluster.node_control import control
    from tiphys.cluster.settings import DataDirectory

    print(control(DataDirectory(options.data_dir), options.name, options.action))


def _kubeconfig(options: argparse.Namespace) -> None:
    from tiphys.cluster.settings import DataDirectory

    try:
        sys.stdout.write(DataDirectory(options.data_dir).admin_kubeconfig.read_text())
    except FileNotFoundError:
        raise ClusterError(f"no cluster in {options.data_dir}", "`tiphys up` makes one") from None


def _supervise(options: argparse.Namespace) -> None:
    from tiphys.cluster.settings import DataDirectory
    from tiphys.cluster.supervisor import programs_of, supervise

    data = DataDirectory(options.data_dir)
    settings = data.load_settings()
    if settings is None:
        raise ClusterError(f"no cluster in {options.data_dir}", "`tiphys up` makes one")
    supervise(data, programs_of(data, settings))


def _control_plane(options: argparse.Namespace) -> None:
    from tiphys.cluster.controlplane import main as control_plane

    control_plane(options.data_dir)


def _node(options: argparse.Namespace) -> None:
    from tiphys.cluster.node import main as node

    node(options.data_dir, options.name)
