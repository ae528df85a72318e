"""Where the API server is and who we are: kubeconfig files, merged as kubectl merges them.

Of several files, the first to set a value or to name a cluster, user or context wins; relative paths in a file are
relative to that file. Nothing is read from the environment here: the command line does that.
Source: client-go tools/clientcmd (loader.go, client_config.go).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class KubeconfigError(Exception):
    """A kubeconfig that cannot be used; the message names the file or entry and says what is wrong."""


class Access(msgspec.Struct, frozen=True):
    """All that a client needs to reach one API server as one user. Certificates and keys are PEM bytes."""

    server: str
    """`https://host:port`, without a trailing slash, perhaps with a path."""
    ca: bytes = b""
    """Empty: the machine's own trust store."""
    client_certificate: bytes = b""
    client_key: bytes = b""
    token: str = ""
    token_file: Path | None = None
    """Read again as it changes: service account tokens are rotated."""
    username: str = ""
    password: str = ""
    tls_server_name: str = ""
    more_servers: tuple[str, ...] = ()
    """Other API servers of the same cluster, asked when `server` cannot be reached."""
    insecure: bool = False
    """Do not verify the server's certificate."""
    namespace: str = "default"
    impersonate: str = ""
    impersonate_groups: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Access({self.server})"  # secrets stay out of logs


class Kubeconfig(msgspec.Struct, frozen=True):
    """Merged files. Entries are the YAML's own mappings, with paths made absolute."""

    clusters: Mapping[str, Mapping[str, Any]]
    users: Mapping[str, Mapping[str, Any]]
    contexts: Mapping[str, Mapping[str, Any]]
    current_context: str = ""

    def access(self, context: str = "") -> Access:
        """How to reach `context` (empty: the current one). Raises KubeconfigError."""
        name = context or self.current_context
        if not name:
            raise KubeconfigError("no context is chosen and the kubeconfig has no current-context")
        chosen = self.contexts.get(name)
        if chosen is None:
            raise KubeconfigError(f"context {name!r} does not exist")
        cluster_name, user_name = str(chosen.get("cluster") or ""), str(chosen.get("user") or "")
        cluster = self.clusters.get(cluster_name)
        if cluster is None:
            raise KubeconfigError(f"context {name!r}: cluster {cluster_name!r} does not exist")
        user = self.users.get(user_name)
        if user is None:
            if user_name:
                raise KubeconfigError(f"context {name!r}: user {user_name!r} does not exist")
            user = {}
        server = str(cluster.get("server") or "").rstrip("/")
        if not server:
            raise KubeconfigError(f"cluster {cluster_name!r}: no server")
        for unsupported in ("exec", "auth-provider"):
            if user.get(unsupported):
                raise KubeconfigError(f"user {user_name!r}: {unsupported} is not supported, use a token or certificate")
        token_file = user.get("tokenFile")
        return Access(
            server=server if "://" in server else f"http://{server}",
            ca=_material(cluster, "certificate-authority", f"cluster {cluster_name!r}"),
            client_certificate=_material(user, "client-certificate", f"user {user_name!r}"),
            client_key=_material(user, "client-key", f"user {user_name!r}"),
            token=str(user.get("token") or ""),
            token_file=Path(token_file) if token_file else None,
            username=str(user.get("username") or ""),
            password=str(user.get("password") or ""),
            tls_server_name=str(cluster.get("tls-server-name") or ""),
            more_servers=_more_servers(cluster),
            insecure=bool(cluster.get("insecure-skip-tls-verify")),
            namespace=str(chosen.get("namespace") or "default"),
            impersonate=str(user.get("as") or ""),
            impersonate_groups=tuple(user.get("as-groups") or ()),
        )


_MORE_SERVERS = "tiphys.io/servers"
"""A cluster's extension: other clients pass over it and use `server`."""


def _more_servers(cluster: Mapping[str, Any]) -> tuple[str, ...]:
    for item in cluster.get("extensions") or ():
        if item.get("name") == _MORE_SERVERS:
            return tuple(str(server).rstrip("/") for server in (item.get("extension") or {}).get("servers") or ())
    return ()


def load(paths: Iterable[Path]) -> Kubeconfig:
    """Reads and merges. Missing files are skipped when there are several; raises KubeconfigError when none is there."""
    wanted = list(paths)
    merged: dict[str, dict[str, Mapping[str, Any]]] = {"clusters": {}, "users": {}, "contexts": {}}
    current = ""
    found = False
    for path in wanted:
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise KubeconfigError(f"{path}: {error}") from error
        found = True
        document = _document(path, text)
        current = current or str(document.get("current-context") or "")
        for section, body in (("clusters", "cluster"), ("users", "user"), ("contexts", "context")):
            for name, entry in _entries(path, document, section, body):
                merged[section].setdefault(name, _absolute(entry, path.parent))
    if not found:
        raise KubeconfigError(f"no kubeconfig: {', '.join(str(path) for path in wanted) or 'no path given'}")
    return Kubeconfig(merged["clusters"], merged["users"], merged["contexts"], current)


def in_cluster(host: str, port: str, directory: Path = SERVICE_ACCOUNT) -> Access:
    """How a pod reaches its API server, from the files that every pod has. Raises KubeconfigError."""
    if not host or not port or not (directory / "token").exists():
        raise KubeconfigError("not inside a pod: no service host and port, or no service account token")
    ca = directory / "ca.crt"
    namespace = directory / "namespace"
    return Access(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        ca=ca.read_bytes() if ca.exists() else b"",
        token_file=directory / "token",
        namespace=namespace.read_text().strip() if namespace.exists() else "default",
    )


def render(access: Access, name: str = "tiphys", user: str = "admin") -> str:
    """A self-contained kubeconfig for `access`: everything inline, so that it can be copied to another machine."""
    cluster: dict[str, Any] = {"server": access.server}
    if access.ca:
        cluster["certificate-authority-data"] = base64.b64encode(access.ca).decode()
    if access.insecure:
        cluster["insecure-skip-tls-verify"] = True
    if access.tls_server_name:
        cluster["tls-server-name"] = access.tls_server_name
    if access.more_servers:
        cluster["extensions"] = [{"name": _MORE_SERVERS, "extension": {"servers": list(access.more_servers)}}]
    who: dict[str, Any] = {}
    if access.client_certificate:
        who["client-certificate-data"] = base64.b64encode(access.client_certificate).decode()
        who["client-key-data"] = base64.b64encode(access.client_key).decode()
    if access.token:
        who["token"] = access.token
    if access.token_file:
        who["tokenFile"] = str(access.token_file)
    context = {"cluster": name, "user": user}
    if access.namespace != "default":
        context["namespace"] = access.namespace
    import yaml  # the API server's process imports this module, and needs no YAML to start

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": user, "user": who}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    return str(yaml.safe_dump(document, sort_keys=False))


def render_cluster(access: Access) -> str:
    """A kubeconfig that names the cluster alone: what everyone may know. Its entry has no name, as kubeadm's."""
    import yaml

    cluster = {"certificate-authority-data": base64.b64encode(access.ca).decode(), "server": access.server}
    return str(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "", "cluster": cluster}]}))


_PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


def _document(path: Path, text: str) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{path}: not YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise KubeconfigError(f"{path}: expected a mapping at the top, got {type(document).__name__}")
    return document


def _entries(path: Path, document: dict[str, Any], section: str, body: str) -> Iterable[tuple[str, dict[str, Any]]]:
    for item in document.get(section) or ():
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise KubeconfigError(f"{path}: {section}: each entry needs a name")
        entry = item.get(body) or {}
        if not isinstance(entry, dict):
            raise KubeconfigError(f"{path}: {section} {item['name']!r}: {body} must be a mapping")
        yield item["name"], entry


def _absolute(entry: dict[str, Any], base: Path) -> dict[str, Any]:
    return {
        key: str(base / Path(value).expanduser()) if key in _PATHS and value else value for key, value in entry.items()
    }


def _material(entry: Mapping[str, Any], field: str, where: str) -> bytes:
    """PEM bytes from `<field>-data` (which wins) or the file named by `<field>`."""
    inline = entry.get(f"{field}-data")
    if inline:
        try:
            return base64.b64decode(str(inline), validate=True)
        except binascii.Error as error:
            raise KubeconfigError(f"{where}: {field}-data is not base64") from error
    path = entry.get(field)
    if not path:
        return b""
    try:
        return Path(str(path)).read_bytes()
    except OSError as error:
        raise KubeconfigError(f"{where}: {field}: {error}") from error
