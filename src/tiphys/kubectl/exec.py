"""`kubectl exec` and `kubectl attach`."""

from __future__ import annotations

import sys
from typing import Any

from tiphys.kubectl import pods, selection
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME


def run_exec(context: Context) -> int:
    """Run a command in a container; our exit code is its exit code."""
    words, command = context.words, context.options.after_dashes
    if not command and len(words) + len(context.options["filename"]) > 1:
        raise UsageError("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead")
    if not words and not context.options["filename"]:
        raise UsageError("pod, type/name or --filename must be specified")
    if not command:
        raise UsageError("you must specify at least one command for the container")
    return _stream(context, "exec", command)


def run_attach(context: Context) -> int:
    """Connect to what a container's main process reads and writes."""
    if not context.words and not context.options["filename"]:
        raise UsageError("pod, type/name or --filename must be specified")
    return _stream(context, "attach", [])


def _stream(context: Context, action: str, command: list[str]) -> int:
    pod = _pod(context)
    _require_not_over(pod, action)
    return stream(context, pod, action, command, stdin=bool(context.options["stdin"]), tty=bool(context.options["tty"]))


def _pod(context: Context) -> pods.Pod:
    if context.options["filename"]:
        target = selection.named(context)[0]
        return pods.one(context, f"{target.type.plural}.{target.type.group}/{target.name}".replace("./", "/"))
    return pods.one(context, context.words[0])


def stream(context: Context, pod: pods.Pod, action: str, command: list[str], *, stdin: bool, tty: bool) -> int:
    """Connect to the container that -c names; the exit code of its command. Raises ServerError, Unreachable."""
    from tiphys.kubectl import streams

    container = pods.container(pod, str(context.options["container"]), quiet=bool(context.options["quiet"]))
    terminal = tty and stdin and sys.stdin.isatty()
    if tty and not terminal:
        print("Unable to use a TTY - input is not a terminal or the right kind of file", file=sys.stderr)
    remote_terminal = terminal
    if action == "attach":
        # The process has a terminal or not since it began; ours has to follow.
        remote_terminal = _has_terminal(pod, container)
        if terminal and not remote_terminal:
            print(f"error: Unable to use a TTY - container {container} did not allocate one", file=sys.stderr)
        terminal = terminal and remote_terminal
        if terminal and not context.options["quiet"]:
            print("If you don't see a command prompt, try pressing enter.", file=sys.stderr)
    query: dict[str, Any] = {"container": container, "stdout": "true", "command": command}
    if stdin:
        query["stdin"] = "true"
    # A terminal has one output: the container's errors come through it too.
    query["tty" if remote_terminal else "stderr"] = "true"
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/{action}"
    code = streams.run(context.session, path, query, stdin=stdin, terminal=terminal)
    if code and action == "exec":
        print(f"command terminated with exit code {code}", file=sys.stderr)
    return code


def _require_not_over(pod: pods.Pod, action: str) -> None:
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        doing = "exec into a container" if action == "exec" else "attach a container"
        raise UsageError(f"cannot {doing} in a completed pod; current phase is {phase}")


def _has_terminal(pod: pods.Pod, container: str) -> bool:
    return any(each["name"] == container and bool(each.get("tty")) for each in pods.containers(pod))


_FLAGS = (
    Flag("container", "which container (the first)", short="c"),
    Flag("stdin", "pass our standard input on", short="i", kind="bool"),
    Flag("tty", "give it a terminal", short="t", kind="bool"),
    FILENAME,
    pods.RUNNING_TIMEOUT,
    Flag("quiet", "print only what the container prints", short="q", kind="bool"),
)
EXEC = Command(
    usage="(POD | TYPE/NAME) [-c CONTAINER] [-it] -- COMMAND [args...]",
    help="Run a command in a container.",
    run=run_exec,
    flags=_FLAGS,
    examples="exec web-1 -- date\nexec -it deploy/web -- sh",
)
ATTACH = Command(
    usage="(POD | TYPE/NAME) [-c CONTAINER] [-it]",
    help="Connect to a running container's main process.",
    run=run_attach,
    flags=_FLAGS,
    examples="attach web-1",
)
