"""`kubectl exec` and `kubectl attach`."""

from __future__ import annotations

import sys
from typing import Any

from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.logs import pods_behind


def run_exec(context: Context) -> int:
    """Run a command in a container; our exit code is its exit code."""
    words, command = context.words, context.options.after_dashes
    if not command and len(words) > 1:
        raise UsageError("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead")
    if not words:
        raise UsageError("pod, type/name or --filename must be specified")
    if not command:
        raise UsageError("you must specify at least one command for the container")
    return _stream(context, "exec", command)


def run_attach(context: Context) -> int:
    """Connect to what a container's main process reads and writes."""
    if not context.words:
        raise UsageError("pod, type/name or --filename must be specified")
    return _stream(context, "attach", [])


def _stream(context: Context, action: str, command: list[str]) -> int:
    from tiphys.kubectl import streams

    pod = _pod(context)
    _require_not_over(pod, action)
    container = _container(context, pod)
    stdin = bool(context.options["stdin"])
    terminal = bool(context.options["tty"]) and stdin and sys.stdin.isatty()
    if context.options["tty"] and not terminal:
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
    path = f"/api/v1/namespaces/{context.namespace}/pods/{pod['metadata']['name']}/{action}"
    code = streams.run(context.session, path, query, stdin=stdin, terminal=terminal)
    if code and action == "exec":
        print(f"command terminated with exit code {code}", file=sys.stderr)
    return code


def _pod(context: Context) -> dict[str, Any]:
    word = context.words[0]
    if "/" in word and not word.startswith(("pod/", "pods/", "po/")):
        _, (target,) = context.resources.targets([word])
        pods = pods_behind(context, target)
        if not pods:
            raise UsageError(f"no pods of {target.shown}")
        return pods[0]
    pod: dict[str, Any] = context.session.get(f"/api/v1/namespaces/{context.namespace}/pods/{word.rpartition('/')[2]}")
    return pod


def _require_not_over(pod: dict[str, Any], action: str) -> None:
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        doing = "exec into a container" if action == "exec" else "attach a container"
        raise UsageError(f"cannot {doing} in a completed pod; current phase is {phase}")


def _has_terminal(pod: dict[str, Any], container: str) -> bool:
    spec = pod["spec"]
    every = [c for key in ("containers", "initContainers", "ephemeralContainers") for c in spec.get(key) or ()]
    return any(c["name"] == container and bool(c.get("tty")) for c in every)


def _container(context: Context, pod: dict[str, Any]) -> str:
    spec = pod["spec"]
    names = [c["name"] for key in ("containers", "initContainers", "ephemeralContainers") for c in spec.get(key) or ()]
    wanted = str(context.options["container"])
    if wanted:
        if wanted not in names:
            raise UsageError(f"container {wanted} not found in pod {pod['metadata']['name']}")
        return wanted
    annotated = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if annotated in names:
        return str(annotated)
    if len(spec["containers"]) > 1:
        print(f'Defaulted container "{names[0]}" out of: {", ".join(names)}', file=sys.stderr)
    return str(names[0])


_FLAGS = (
    Flag("container", "which container (the first)", short="c"),
    Flag("stdin", "pass our standard input on", short="i", kind="bool"),
    Flag("tty", "give it a terminal", short="t", kind="bool"),
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
