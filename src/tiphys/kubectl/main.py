"""`tiphys kubectl`: finds the command, reads its flags, connects, and tells problems as kubectl does."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from tiphys.client import kubeconfig
from tiphys.client.kubeconfig import Access, KubeconfigError
from tiphys.kubectl import kuberc
from tiphys.kubectl.command import COMMANDS, GLOBAL_FLAGS, Command, Context, load
from tiphys.kubectl.flags import FlagError, Parsed, UsageError, duration_s, parse
from tiphys.kubectl.session import ServerError, Session, Unreachable


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    arguments = list(argv)
    leading = _leading_flags(arguments)
    if not arguments or arguments[0] in ("help", "--help", "-h"):
        print(_overview())
        return 0
    name = arguments.pop(0)
    try:
        # What changes the file must work where the file is missing or broken.
        preferences = kuberc.Preferences() if name == "kuberc" else kuberc.load([*leading, *arguments], os.environ)
        if name not in COMMANDS:
            name, arguments = preferences.expanded(name, arguments)
        command = load(name)
        flags = (*command.flags, *GLOBAL_FLAGS)
        options = parse(flags, [*leading, *arguments])
        preferences.complete(name, flags, options)
        if options["help"]:
            print(_help(name, command))
            return 0
        return _run(command, options)
    except UsageError as error:
        hint = f"\nSee `tiphys kubectl {name} --help`." if isinstance(error, FlagError) else ""
        print(f"error: {error}{hint}", file=sys.stderr)
        return 1


def _run(command: Command, options: Parsed) -> int:
    context = Context(options, connect)
    try:
        code = command.run(context) or 0
        sys.stdout.flush()
    except ServerError as error:
        print(error.shown(), file=sys.stderr)
        code = 1
    except (Unreachable, KubeconfigError) as error:
        print(error, file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`): nothing is wrong, and nothing more can be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    if "session" in context.__dict__:
        for warning in context.session.warnings:
            print(f"Warning: {warning}", file=sys.stderr)
        context.session.close()
    return code


def connect(options: Parsed) -> Session:
    """The cluster that the flags, $KUBECONFIG or the data directory name. Raises UsageError, KubeconfigError."""
    access = _access(options)
    if options["server"]:
        access = replace(access, server=str(options["server"]).rstrip("/"))
    if options["token"]:
        access = replace(access, token=options["token"], client_certificate=b"", client_key=b"")
    if options["as"] or options["as-group"]:
        access = replace(access, impersonate=options["as"], impersonate_groups=tuple(options["as-group"]))
    if options["insecure-skip-tls-verify"]:
        access = replace(access, insecure=True, ca=b"")
    return Session(access, verbosity=options["v"], timeout_s=_timeout_s(options["request-timeout"]))


def _timeout_s(text: str) -> float:
    """Seconds, or a Go duration; 0 is no limit of the user's."""
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else duration_s(text)
    except ValueError as error:
        raise FlagError(f'invalid argument "{text}" for "--request-timeout" flag: {error}') from error


def _access(options: Parsed) -> Access:
    paths = locations(options)
    try:
        if not options.given & {"data-dir", "kubeconfig", "context"} and not any(map(Path.exists, paths)):
            with contextlib.suppress(KubeconfigError):
                return _in_pod(options)
        return kubeconfig.load(paths).access(options["context"])
    except KubeconfigError as error:
        if options["server"]:
            return Access(options["server"])
        raise UsageError(f"{error}; `tiphys up` makes a cluster") from error


def locations(options: Parsed) -> list[Path]:
    """The kubeconfig files that count, in order."""
    if options["data-dir"]:
        return [Path(options["data-dir"]) / "admin.kubeconfig"]
    if options["kubeconfig"]:
        return [Path(options["kubeconfig"])]
    if os.environ.get("KUBECONFIG"):
        return [Path(path) for path in os.environ["KUBECONFIG"].split(os.pathsep) if path]
    local = Path(os.environ.get("TIPHYS_DATA_DIR") or _data_dir()) / "admin.kubeconfig"
    return [local if os.access(local, os.R_OK) else Path.home() / ".kube" / "config"]


def _in_pod(options: Parsed) -> Access:
    """That of the pod that we run in. Raises KubeconfigError."""
    environment = os.environ
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "")
    access = kubeconfig.in_cluster(host, port)
    if options["v"] >= 2:
        print("Using in-cluster configuration", file=sys.stderr)
    return access


def _data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/tiphys")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "tiphys"


def _leading_flags(arguments: list[str]) -> list[str]:
    """Take global flags that stand before the command (`kubectl -n x get pods`) off the front."""
    with_value = {f"--{flag.name}" for flag in GLOBAL_FLAGS if flag.kind != "bool"}
    short_with_value = {f"-{flag.short}" for flag in GLOBAL_FLAGS if flag.short and flag.kind != "bool"}
    taken: list[str] = []
    while arguments and arguments[0].startswith("-") and arguments[0] not in ("-h", "--help"):
        word = arguments.pop(0)
        taken.append(word)
        if word in with_value | short_with_value and arguments:
            taken.append(arguments.pop(0))
    return taken


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        ["The command line for the Kubernetes API, as far as a cluster needs it; any other kubectl works too.", "",
         "Usage: tiphys kubectl COMMAND [flags]", "", *lines, "", "`tiphys kubectl COMMAND --help` tells more."]
    )  # fmt: skip


def _help(name: str, command: Command) -> str:
    lines = [command.help, ""]
    if command.examples:
        lines += ["Examples:", *(f"  {line}" for line in command.examples.strip().splitlines()), ""]
    lines += ["Usage:", f"  tiphys kubectl {name} {command.usage}", "", "Options:"]
    for flag in (*command.flags, *GLOBAL_FLAGS):
        label = (f"-{flag.short}, " if flag.short else "    ") + f"--{flag.name}"
        lines.append(f"  {label.ljust(30)}  {flag.help}")
    return "\n".join(lines)
