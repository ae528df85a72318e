"""`kubectl config`: looking at kubeconfig files, and changing them.

Source: k8s.io/kubectl pkg/cmd/config.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiphys.client import kubeconfig
from tiphys.kubectl import output
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError

Document = dict[str, Any]
_SECTIONS = {"clusters": "cluster", "contexts": "context", "users": "user"}
_HIDDEN = {"client-certificate-data": "DATA+OMITTED", "client-key-data": "DATA+OMITTED", "token": "REDACTED",
           "certificate-authority-data": "DATA+OMITTED", "password": "REDACTED"}  # fmt: skip
_FILES = ("certificate-authority", "client-certificate", "client-key")


def run(context: Context) -> int:
    """The first word is what to do."""
    action, *words = context.words or [""]
    act = _ACTIONS.get(action)
    if act is None:
        raise UsageError(f"config needs one of: {', '.join(sorted(_ACTIONS))}")
    act(context, words)
    return 0


def _paths(context: Context) -> list[Path]:
    from tiphys.kubectl.main import locations

    return locations(context.options)


def _merged(context: Context) -> Document:
    """All files as one; an empty one where there are none."""
    document: Document = {"apiVersion": "v1", "clusters": [], "contexts": [], "current-context": "", "kind": "Config"}
    try:
        known = kubeconfig.load(_paths(context))
    except kubeconfig.KubeconfigError as error:
        if any(path.exists() for path in _paths(context)):
            raise UsageError(str(error)) from error
        return {**document, "users": []}
    for section, entries in (("clusters", known.clusters), ("contexts", known.contexts), ("users", known.users)):
        document[section] = [{"name": name, _SECTIONS[section]: dict(entry)} for name, entry in sorted(entries.items())]
    return {**document, "current-context": known.current_context}


def _file(context: Context) -> tuple[Path, Document]:
    """The file that is changed, and what is in it."""
    import yaml

    paths = _paths(context)
    path = next((path for path in paths if path.exists()), paths[0])
    try:
        document = yaml.safe_load(path.read_text()) if path.exists() else {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error
    if document is not None and not isinstance(document, dict):
        raise UsageError(f"{path}: expected a mapping at the top")
    return path, {"apiVersion": "v1", "kind": "Config", **(document or {})}


def _save(path: Path, document: Document) -> None:
    """Readable by nobody else, and whole at any time."""
    import os

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.{os.getpid()}")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(output.to_yaml(document))
        new.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


def _view(context: Context, _words: list[str]) -> None:
    document = _merged(context)
    if context.options["minify"]:
        document = _only_current(document, str(context.options["context"] or document["current-context"]))
    for section, body in _SECTIONS.items():
        for entry in document[section]:
            if context.options["flatten"]:
                _flatten(entry[body])
            if not context.options["raw"] and not context.options["flatten"]:
                entry[body] = {key: _HIDDEN.get(key, value) for key, value in entry[body].items()}
    output.print_objects([document], output.form_of(context) or "yaml", listed=False)


def _only_current(document: Document, name: str) -> Document:
    current = _entry(document, "contexts", name)
    if current is None:
        raise UsageError("current-context must exist in order to minify")
    kept = {"contexts": name, "clusters": current.get("cluster"), "users": current.get("user")}
    return document | {
        "current-context": name,
        **{section: [each for each in document[section] if each["name"] == kept[section]] for section in _SECTIONS},
    }


def _flatten(body: Document) -> None:
    for name in _FILES:
        if name in body:
            try:
                body[f"{name}-data"] = base64.b64encode(Path(body.pop(name)).read_bytes()).decode()
            except OSError as error:
                raise UsageError(f"{error.filename}: {error.strerror}") from error


def _entry(document: Document, section: str, name: str) -> Document | None:
    for each in document.get(section) or ():
        if each.get("name") == name:
            found: Document = each.setdefault(_SECTIONS[section], {})
            return found
    return None


def _current(context: Context, _words: list[str]) -> None:
    current = _merged(context)["current-context"]
    if not current:
        raise UsageError("current-context is not set")
    print(current)


def _get_contexts(context: Context, words: list[str]) -> None:
    document = _merged(context)
    rows = [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]]
    for each in document["contexts"]:
        name, body = each["name"], each["context"]
        if not words or name in words:
            marked = "*" if name == document["current-context"] else ""
            rows.append([marked, name, body.get("cluster", ""), body.get("user", ""), body.get("namespace", "")])
    missing = [word for word in words if word not in (row[1] for row in rows[1:])]
    if missing:
        raise UsageError(f"context {missing[0]} not found")
    if context.options["output"] == "name":
        print("\n".join(row[1] for row in rows[1:]))
        return
    output.print_rows(rows[1:] if context.options["no-headers"] else rows)


def _names(section: str) -> Callable[[Context, list[str]], None]:
    def show(context: Context, _words: list[str]) -> None:
        print("\n".join(["NAME", *(each["name"] for each in _merged(context)[section])]))

    return show


def _use(context: Context, words: list[str]) -> None:
    name = _one(words)
    if _entry(_merged(context), "contexts", name) is None:
        raise UsageError(f'no context exists with the name: "{name}"')
    path, document = _file(context)
    _save(path, document | {"current-context": name})
    print(f'Switched to context "{name}".')


def _one(words: list[str]) -> str:
    if len(words) != 1:
        raise UsageError(f"exactly one NAME is required, got {len(words)}")
    return words[0]


def _setter(section: str, title: str, flags: tuple[str, ...]) -> Callable[[Context, list[str]], None]:
    def act(context: Context, words: list[str]) -> None:
        options, (path, document) = context.options, _file(context)
        name = str(document.get("current-context", "")) if section == "contexts" and options["current"] else _one(words)
        body = _entry(document, section, name)
        done = "modified" if body is not None else "created"
        if body is None:
            body = {}
            document[section] = [*(document.get(section) or ()), {"name": name, _SECTIONS[section]: body}]
        body |= {flag: options[flag] for flag in flags if flag in options.given}
        if options["embed-certs"]:
            _flatten(body)
        _save(path, document)
        print(f'{title} "{name}" {done}.')

    return act


def _delete(section: str, title: str) -> Callable[[Context, list[str]], None]:
    def act(context: Context, words: list[str]) -> None:
        name, (path, document) = _one(words), _file(context)
        if _entry(document, section, name) is None:
            raise UsageError(f"cannot delete {title} {name}, not in {path}")
        document[section] = [each for each in document[section] if each.get("name") != name]
        _save(path, document)
        print(f"deleted {title} {name} from {path}")

    return act


def _rename(context: Context, words: list[str]) -> None:
    if len(words) != 2:
        raise UsageError("the old and the new name of the context are required")
    old, new = words
    path, document = _file(context)
    if _entry(document, "contexts", old) is None:
        raise UsageError(f'cannot rename the context "{old}", it\'s not in {path}')
    if _entry(document, "contexts", new) is not None:
        raise UsageError(f'cannot rename the context "{old}", the context "{new}" already exists in {path}')
    for each in document["contexts"]:
        each["name"] = new if each["name"] == old else each["name"]
    if document.get("current-context") == old:
        document["current-context"] = new
    _save(path, document)
    print(f'Context "{old}" renamed to "{new}".')


_ACTIONS: dict[str, Callable[[Context, list[str]], None]] = {
    "current-context": _current,
    "delete-cluster": _delete("clusters", "cluster"),
    "delete-context": _delete("contexts", "context"),
    "delete-user": _delete("users", "user"),
    "get-clusters": _names("clusters"),
    "get-contexts": _get_contexts,
    "get-users": _names("users"),
    "rename-context": _rename,
    "set-cluster": _setter("clusters", "Cluster", ("server", "insecure-skip-tls-verify", "certificate-authority",
                                                   "tls-server-name", "proxy-url")),
    "set-context": _setter("contexts", "Context", ("cluster", "user", "namespace")),
    "set-credentials": _setter("users", "User", ("client-certificate", "client-key", "token")),
    "use-context": _use,
    "view": _view,
}  # fmt: skip

COMMAND = Command(
    usage=f"({' | '.join(sorted(_ACTIONS))}) [NAME] [flags]",
    help="Look at and change kubeconfig files.",
    run=run,
    flags=(
        Flag("minify", "view: only what the current context uses", kind="bool"),
        Flag("flatten", "view: with the content of the files that it names", kind="bool"),
        Flag("raw", "view: with secrets", kind="bool"),
        Flag("no-headers", "get-contexts: no line of titles", kind="bool"),
        Flag("current", "set-context: the current one", kind="bool"),
        Flag("cluster", "set-context: its cluster"),
        Flag("user", "set-context: its user"),
        Flag("certificate-authority", "set-cluster: file of the authority's certificate"),
        Flag("tls-server-name", "set-cluster: the name that the server's certificate has"),
        Flag("proxy-url", "set-cluster: the proxy to the server"),
        Flag("client-certificate", "set-credentials: file of the certificate"),
        Flag("client-key", "set-credentials: file of the key"),
        Flag("embed-certs", "take the files' content", kind="bool"),
        *output.FLAGS,
    ),
    examples="config view --minify\nconfig get-contexts\nconfig use-context tiphys\n"
    "config set-context --current --namespace=web",
)
