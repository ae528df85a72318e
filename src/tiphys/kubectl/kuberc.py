"""Preferences: aliases of commands, and flags that commands get where the user does not say otherwise.

The file is ~/.kube/kuberc, $KUBERC or that of --kuberc. Source: k8s.io/kubectl pkg/kuberc, pkg/cmd/kuberc, KEP 3104.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, Parsed, UsageError, assign

API_VERSION, KIND = "kubectl.config.k8s.io/v1beta1", "Preference"
_VERSIONS = (API_VERSION, "kubectl.config.k8s.io/v1alpha1")
_SECTIONS = ("defaults", "aliases")


@dataclass(frozen=True, slots=True)
class Preferences:
    """A file's content."""

    aliases: Sequence[Mapping[str, Any]] = ()
    defaults: Sequence[Mapping[str, Any]] = ()
    _taken: list[Mapping[str, Any]] = field(default_factory=list)

    def expanded(self, name: str, arguments: Sequence[str]) -> tuple[str, list[str]]:
        """The command and arguments that an alias stands for. Raises UsageError for what is no alias."""
        for alias in self.aliases:
            if alias.get("name") == name:
                self._taken.append(alias)
                command, *more = str(alias.get("command", "")).split()
                words = [*more, *(alias.get("prependArgs") or ()), *arguments, *(alias.get("appendArgs") or ())]
                return command, words
        raise UsageError(f'unknown command "{name}" for "kubectl"\nRun `tiphys kubectl --help` for the list.')

    def complete(self, name: str, flags: Sequence[Flag], options: Parsed) -> None:
        """Give flags that were not given what the alias, and then the defaults, say. Raises UsageError."""
        known = {flag.name: flag for flag in flags}
        for entry in (*self._taken, *self.defaults):
            command, *more = str(entry.get("command", "")).split()
            if command != name or options.words[: len(more)] != more:
                continue
            given = set(options.given)
            for option in entry.get("options") or ():
                flag = known.get(str(option.get("name")))
                if flag is None:
                    raise UsageError(f'kuberc: "{command}" has no flag --{option.get("name")}')
                if flag.name not in given:
                    assign(options, flag, str(option.get("default", "")))


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> Preferences:
    """Nothing where there is no file. Raises UsageError for one that is none, or for a missing one that was named."""
    named = _named(arguments) or environment.get("KUBERC", "")
    if named == "off":
        return Preferences()
    path = Path(named) if named else Path.home() / ".kube" / "kuberc"
    if not named and not path.exists():
        return Preferences()
    document = _read(path)
    return Preferences(document.get("aliases") or (), document.get("defaults") or ())


def _named(arguments: Sequence[str]) -> str:
    before = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    for index, word in enumerate(before):
        if word.startswith("--kuberc="):
            return word.partition("=")[2]
        if word == "--kuberc" and index + 1 < len(before):
            return before[index + 1]
    return ""


def _read(path: Path) -> dict[str, Any]:
    from tiphys.api.codec_yaml import parse_yaml

    try:
        document, _ = parse_yaml(path.read_bytes())
    except OSError as error:
        raise UsageError(f"kuberc: {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"kuberc: {path}: {error}") from error
    if not isinstance(document, dict) or document.get("kind") != KIND or document.get("apiVersion") not in _VERSIONS:
        raise UsageError(f"kuberc: {path} is not a {KIND} of {' or '.join(_VERSIONS)}")
    lists = [document.get(section) or [] for section in _SECTIONS]
    if not all(isinstance(each, list) and all(isinstance(item, dict) for item in each) for each in lists):
        raise UsageError(f"kuberc: {path}: aliases and defaults must be lists of objects")
    return document


def run(context: Context) -> int:
    """The first word is what to do."""
    action = context.words[0] if context.words else ""
    if action == "view":
        return _view(context)
    if action == "set":
        return _set(context)
    raise UsageError("kuberc needs one of: set, view")


def _path(context: Context) -> Path:
    import os

    named = str(context.options["kuberc"] or os.environ.get("KUBERC", ""))
    return Path(named) if named else Path.home() / ".kube" / "kuberc"


def _view(context: Context) -> int:
    from tiphys.kubectl import output

    output.print_objects([_read(_path(context))], output.form_of(context) or "yaml", listed=False)
    return 0


def _set(context: Context) -> int:
    from tiphys.kubectl import output

    options, path = context.options, _path(context)
    document: dict[str, Any] = _read(path) if path.exists() else {"apiVersion": API_VERSION, "kind": KIND}
    section = str(options["section"])
    if section not in _SECTIONS:
        raise UsageError(f'--section must be one of {", ".join(_SECTIONS)}, not "{section}"')
    entry = _entry(context, section)
    key = "name" if section == "aliases" else "command"
    entries = list(document.get(section) or ())
    same = [each for each in entries if each.get(key) == entry[key]]
    if same and not options["overwrite"]:
        raise UsageError(f'{section} of "{entry[key]}" are there already; --overwrite replaces them')
    document[section] = [*(each for each in entries if each not in same), entry]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(output.to_yaml(document))
    print(f"Updated {path}")
    return 0


def _entry(context: Context, section: str) -> dict[str, Any]:
    options = context.options
    if not options["command"]:
        raise UsageError('required flag(s) "command" not set')
    pairs = [text.partition("=") for text in options["option"]]
    if any(not equals for _, equals, _ in pairs):
        raise UsageError("--option must be FLAG=VALUE")
    entry: dict[str, Any] = {"command": options["command"]}
    if pairs:
        entry["options"] = [{"name": name, "default": value} for name, _, value in pairs]
    arguments = {"prependArgs": options["prependarg"], "appendArgs": options["appendarg"]}
    if section == "aliases":
        if not options["name"]:
            raise UsageError("--name is required for aliases")
        return {"name": options["name"], **entry, **{key: words for key, words in arguments.items() if words}}
    if options["name"] or any(arguments.values()):
        raise UsageError("--name, --prependarg and --appendarg are for aliases")
    return entry


COMMAND = Command(
    usage="view | set --section=(defaults|aliases) --command=COMMAND [--name=ALIAS] [--option=FLAG=VALUE ...]",
    help="Look at and change your preferences: aliases of commands, and flags that they get by default.",
    run=run,
    flags=(
        Flag("section", "set: defaults or aliases"),
        Flag("command", "set: the command that it is about"),
        Flag("name", "set: the alias"),
        Flag("option", "set: FLAG=VALUE", kind="array"),
        Flag("prependarg", "set: a word that comes before those of the user", kind="array"),
        Flag("appendarg", "set: a word that comes after them", kind="array"),
        Flag("overwrite", "set: replace what is there", kind="bool"),
        Flag("output", "view: json or yaml", short="o"),
    ),
    examples="kuberc set --section=defaults --command=get --option=output=wide\n"
    "kuberc set --section=aliases --name=getn --command=get --prependarg=nodes",
)
