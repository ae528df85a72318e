"""What a command is, and the list of all commands: adding one is one file and one line here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from tiphys.kubectl.flags import Flag, Parsed
from tiphys.kubectl.resources import Resources
from tiphys.kubectl.session import Session

GLOBAL_FLAGS = (
    Flag("namespace", "the namespace (that of the context)", short="n"),
    Flag("kubeconfig", "the kubeconfig file"),
    Flag("data-dir", "use the cluster in this data directory"),
    Flag("context", "the kubeconfig's context"),
    Flag("server", "the API server's address", short="s"),
    Flag("token", "the bearer token"),
    Flag("as", "the user to act as"),
    Flag("as-group", "a group to act as a member of", kind="array"),
    Flag("kuberc", "the file of preferences (~/.kube/kuberc); off: none"),
    Flag("insecure-skip-tls-verify", "do not check the server's certificate", kind="bool"),
    Flag("request-timeout", "give up on a request after this time (0: never)", kind="string", default="0"),
    Flag("v", "how much to tell (6: every request)", short="v", kind="int"),
    Flag("help", "show this help", short="h", kind="bool"),
)


@dataclass(frozen=True, slots=True)
class Command:
    """One command: how it is called, what it does, its flags and its code."""

    usage: str
    help: str
    run: Callable[[Context], int | None]
    flags: tuple[Flag, ...] = ()
    examples: str = ""


class Context:
    """What a running command has: its flags and words, and the cluster (connected when first used)."""

    def __init__(self, options: Parsed, connect: Callable[[Parsed], Session]) -> None:
        self.options = options
        self._connect = connect

    @property
    def words(self) -> list[str]:
        return self.options.words

    @cached_property
    def session(self) -> Session:
        """Raises UsageError when there is no usable kubeconfig."""
        return self._connect(self.options)

    @cached_property
    def resources(self) -> Resources:
        return Resources(self.session, self.namespace)

    @property
    def namespace(self) -> str:
        """From -n, else the context's, else `default`."""
        return str(self.options["namespace"] or self.session.access.namespace)


COMMANDS: dict[str, tuple[str, str]] = {
    "get": ("get:COMMAND", "Display one or many resources"),
    "describe": ("describe:COMMAND", "Show an object with what belongs to it and its events"),
    "create": ("create:COMMAND", "Create objects from manifests or from a few words"),
    "run": ("run:COMMAND", "Run one pod"),
    "expose": ("expose:COMMAND", "Make a service for what runs pods"),
    "set": ("set:COMMAND", "Set images, variables or resources of what runs pods"),
    "explain": ("explain:COMMAND", "Say what fields a kind has, and what they mean"),
    "apply": ("apply:COMMAND", "Make the cluster hold what the manifests say"),
    "diff": ("diff:COMMAND", "Show what applying the manifests would change"),
    "replace": ("replace:COMMAND", "Replace objects by what the manifests say"),
    "edit": ("edit:COMMAND", "Change an object in your editor"),
    "delete": ("delete:COMMAND", "Delete objects, and wait until they are gone"),
    "logs": ("logs:COMMAND", "Print what a container wrote"),
    "exec": ("exec:EXEC", "Run a command in a container"),
    "attach": ("exec:ATTACH", "Connect to a running container's main process"),
    "cp": ("cp:COMMAND", "Copy files to and from containers"),
    "debug": ("debug:COMMAND", "Look into a pod or a node by a container of your own"),
    "proxy": ("proxy:COMMAND", "Show the API on a local port, with your own credentials"),
    "port-forward": ("port_forward:COMMAND", "Forward one or more local ports to a pod"),
    "scale": ("scale:COMMAND", "Set how many pods a workload has"),
    "autoscale": ("autoscale:COMMAND", "Let the number of pods follow their load"),
    "rollout": ("rollout:COMMAND", "Follow or steer the rollout of a deployment"),
    "cordon": ("cordon:CORDON", "Let no new pods come to nodes"),
    "uncordon": ("cordon:UNCORDON", "Let pods come to nodes again"),
    "drain": ("drain:COMMAND", "Empty nodes for maintenance"),
    "taint": ("taint:COMMAND", "Keep pods away from nodes"),
    "top": ("top:COMMAND", "Show what nodes and pods use"),
    "events": ("events:COMMAND", "Show what happened"),
    "auth": ("auth:COMMAND", "Ask who you are and what you may do"),
    "certificate": ("certificate:COMMAND", "Approve or deny certificate signing requests"),
    "wait": ("wait:COMMAND", "Wait until objects meet a condition"),
    "label": ("metadata:LABEL", "Set or remove labels"),
    "annotate": ("metadata:ANNOTATE", "Set or remove annotations"),
    "patch": ("patch:COMMAND", "Change fields of an object"),
    "cluster-info": ("cluster_info:COMMAND", "Show where the control plane is"),
    "api-versions": ("cluster_info:API_VERSIONS", "Print the supported API versions on the server"),
    "api-resources": ("api_resources:COMMAND", "Print the supported API resources on the server"),
    "config": ("config:COMMAND", "Look at and change kubeconfig files"),
    "kuberc": ("kuberc:COMMAND", "Look at and change your preferences: aliases and defaults of flags"),
    "version": ("version:COMMAND", "Print the client and server version information"),
}
"""Name -> (module and value, one line of help), in the order of `kubectl --help`."""


def load(name: str) -> Command:
    """The command, whose module is imported only now."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    command: Command = getattr(importlib.import_module(f"tiphys.kubectl.{module}"), attribute)
    return command
