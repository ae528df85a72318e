"""Config maps, secrets and namespaces."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tiphys.kubectl.command import Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.generators.common import Generator, new, one_name, required


def _namespace(_context: Context, names: list[str]) -> dict[str, Any]:
    return new("v1", "Namespace", one_name("namespace", names))


def _config_map(context: Context, names: list[str]) -> dict[str, Any]:
    text, binary = collected(
        context.options["from-literal"], context.options["from-file"], context.options["from-env-file"]
    )
    fields: dict[str, Any] = {}
    if text:
        fields["data"] = {key: value.decode() for key, value in text.items()}
    if binary:
        fields["binaryData"] = encoded(binary)
    return new("v1", "ConfigMap", one_name("configmap", names), **fields)


def _secret(context: Context, names: list[str]) -> dict[str, Any]:
    options = context.options
    kind, *rest = names or [""]
    if kind == "generic":
        text, binary = collected(options["from-literal"], options["from-file"], options["from-env-file"])
        data, of_type = encoded(text | binary), options["type"] or "Opaque"
    elif kind == "tls":
        required(context, "cert", "key")
        data, of_type = encoded({"tls.crt": _file(options["cert"]), "tls.key": _file(options["key"])}), ""
    elif kind == "docker-registry":
        data, of_type = encoded({".dockerconfigjson": _registry(context)}), "kubernetes.io/dockerconfigjson"
    else:
        raise UsageError("create secret needs a kind: docker-registry, generic or tls")
    return new("v1", "Secret", one_name(f"secret {kind}", rest), data=data, type=of_type or "kubernetes.io/tls")


def _registry(context: Context) -> bytes:
    options = context.options
    if options["from-file"]:
        return _file(options["from-file"][0].rpartition("=")[2])
    required(context, "docker-username", "docker-password")
    user, password = options["docker-username"], options["docker-password"]
    entry = {"username": user, "password": password, "email": options["docker-email"]}
    entry["auth"] = base64.b64encode(f"{user}:{password}".encode()).decode()
    known = {key: value for key, value in entry.items() if value}
    return json.dumps({"auths": {options["docker-server"]: known}}).encode()


def collected(literals: list[str], files: list[str], env_files: list[str]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Keys and values of `key=value`, of `[key=]file or directory`, and of files of such lines: (text, not text).

    Raises UsageError.
    """
    found: dict[str, bytes] = {}

    def add(key: str, value: bytes) -> None:
        if key in found:
            raise UsageError(f'cannot add key "{key}", another key by that name already exists')
        found[key] = value

    for literal in literals:
        key, equals, value = literal.partition("=")
        if not equals:
            raise UsageError(f"invalid literal source {literal}, expected key=value")
        add(key, _unquoted(value).encode())
    for source in files:
        key, equals, path = source.partition("=")
        for file in _files(path if equals else source):
            add(key if equals else file.name, _file(str(file)))
    for source in env_files:
        for line in _file(source).decode().splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                key, _, value = line.strip().partition("=")
                add(key, value.encode())
    text = {key: value for key, value in found.items() if _is_text(value)}
    return text, {key: value for key, value in found.items() if key not in text}


def encoded(data: dict[str, bytes]) -> dict[str, str]:
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value


def _files(path: str) -> list[Path]:
    directory = Path(path)
    return sorted(file for file in directory.iterdir() if file.is_file()) if directory.is_dir() else [directory]


def _file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"error reading {path}: {error.strerror}") from error


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


GENERATORS: dict[str, Generator] = {
    "namespace": _namespace, "ns": _namespace, "configmap": _config_map, "cm": _config_map, "secret": _secret,
}  # fmt: skip
FLAGS = (
    Flag("from-literal", "configmap, secret: key=value", kind="array"),
    Flag("from-file", "configmap, secret: [key=]file or directory", kind="array"),
    Flag("from-env-file", "configmap, secret: a file of key=value lines", kind="array"),
    Flag("type", "secret generic: its type"),
    Flag("cert", "secret tls: certificate file"),
    Flag("key", "secret tls: key file"),
    Flag("docker-server", "secret docker-registry: the registry", default="https://index.docker.io/v1/"),
    Flag("docker-username", "secret docker-registry: the user"),
    Flag("docker-password", "secret docker-registry: the password"),
    Flag("docker-email", "secret docker-registry: the user's address"),
)
