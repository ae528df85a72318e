"""`kubectl create`: from manifests, or from a few words (`create deployment web --image=nginx`)."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiphys.kubectl import output, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE, namespace_of, read
from tiphys.kubectl.resources import Target
from tiphys.kubectl.session import ServerError


def run(context: Context) -> int:
    """Send what the manifests or the words describe; the exit code is 1 when one object was refused."""
    if context.options["filename"]:
        objects = read(context.options["filename"], recursive=context.options["recursive"])
    else:
        objects = [_generated(context)]
    code = 0
    for obj in objects:
        try:
            send(context, obj)
        except ServerError as error:
            print(error.shown(), file=sys.stderr)
            code = 1
    return code


def send(context: Context, obj: dict[str, Any], *, done: str = "created") -> None:
    """POST one object and tell. Raises ServerError."""
    kind = context.resources.for_object(obj)
    namespace = namespace_of(obj, context.namespace, "namespace" in context.options.given) if kind.namespaced else ""
    if namespace:
        obj["metadata"]["namespace"] = namespace
    after = obj
    if writing.dry_run(context) != "client":
        after = context.session.send("POST", kind.path(namespace), obj, writing.query(context))
    writing.tell(context, Target(kind, after["metadata"].get("name") or obj["metadata"]["generateName"]), done, after)


def _generated(context: Context) -> dict[str, Any]:
    if not context.words:
        raise UsageError("must specify one of -f and -k, or what to create (deployment, configmap, secret, ...)")
    word, *names = context.words
    make = _GENERATORS.get(word)
    if make is None:
        raise UsageError(f"cannot create {word!r} from words; use -f, or one of: {', '.join(sorted(set(_GENERATORS)))}")
    return make(context, names)


def _one_name(what: str, names: list[str]) -> str:
    if len(names) != 1:
        raise UsageError(f"exactly one NAME is required, got {len(names)}: create {what} NAME")
    return names[0]


def _object(api_version: str, kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


def _namespace(_context: Context, names: list[str]) -> dict[str, Any]:
    return _object("v1", "Namespace", _one_name("namespace", names))


def _service_account(_context: Context, names: list[str]) -> dict[str, Any]:
    return _object("v1", "ServiceAccount", _one_name("serviceaccount", names))


def _deployment(context: Context, names: list[str]) -> dict[str, Any]:
    name, options = _one_name("deployment", names), context.options
    if not options["image"]:
        raise UsageError('required flag(s) "image" not set')
    labels = {"app": name}
    containers = []
    for image in options["image"]:
        short = image.rpartition("/")[2].partition("@")[0].partition(":")[0].replace("_", "-").lower()
        container: dict[str, Any] = {"name": short, "image": image}
        if context.options.after_dashes:
            container["command"] = context.options.after_dashes
        if options["port"]:
            container["ports"] = [{"containerPort": options["port"]}]
        containers.append(container)
    deployment = _object("apps/v1", "Deployment", name)
    deployment["metadata"]["labels"] = labels
    deployment["spec"] = {
        "replicas": options["replicas"],
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
    }
    return deployment


def _config_map(context: Context, names: list[str]) -> dict[str, Any]:
    data, binary = _data(context)
    fields: dict[str, Any] = {}
    if data:
        fields["data"] = {key: value.decode() for key, value in data.items()}
    if binary:
        fields["binaryData"] = {key: base64.b64encode(value).decode() for key, value in binary.items()}
    return _object("v1", "ConfigMap", _one_name("configmap", names), **fields)


def _secret(context: Context, names: list[str]) -> dict[str, Any]:
    kind, *rest = names or [""]
    if kind == "generic":
        data, binary = _data(context)
        encoded = {key: base64.b64encode(value).decode() for key, value in (data | binary).items()}
        return _object(
            "v1", "Secret", _one_name("secret generic", rest), data=encoded, type=context.options["type"] or "Opaque"
        )
    if kind == "tls":
        pair = {"tls.crt": _file(context.options["cert"]), "tls.key": _file(context.options["key"])}
        encoded = {key: base64.b64encode(value).decode() for key, value in pair.items()}
        return _object("v1", "Secret", _one_name("secret tls", rest), data=encoded, type="kubernetes.io/tls")
    raise UsageError("create secret needs a kind: generic or tls")


def _data(context: Context) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The keys of --from-literal, --from-file and --from-env-file: those that are text, and those that are not."""
    found: dict[str, bytes] = {}

    def add(key: str, value: bytes) -> None:
        if key in found:
            raise UsageError(f'cannot add key "{key}", another key by that name already exists')
        found[key] = value

    for literal in context.options["from-literal"]:
        key, equals, value = literal.partition("=")
        if not equals:
            raise UsageError(f"invalid literal source {literal}, expected key=value")
        add(key, value.encode())
    for source in context.options["from-file"]:
        key, equals, path = source.partition("=")
        for file in _files(path if equals else source):
            add(key if equals else file.name, _file(str(file)))
    for source in context.options["from-env-file"]:
        for line in _file(source).decode().splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                key, _, value = line.strip().partition("=")
                add(key, value.encode())
    text = {key: value for key, value in found.items() if _is_text(value)}
    return text, {key: value for key, value in found.items() if key not in text}


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


def _role(kind: str) -> Callable[[Context, list[str]], dict[str, Any]]:
    def make(context: Context, names: list[str]) -> dict[str, Any]:
        options = context.options
        if not options["verb"] or not options["resource"]:
            raise UsageError("at least one verb and one resource must be specified (--verb, --resource)")
        rules: dict[str, dict[str, Any]] = {}
        for word in options["resource"]:
            name, _, subresource = word.partition("/")
            found = context.resources.find(name)
            rule = rules.setdefault(
                found.group, {"apiGroups": [found.group], "resources": [], "verbs": options["verb"]}
            )
            rule["resources"].append(f"{found.plural}/{subresource}" if subresource else found.plural)
            if options["resource-name"]:
                rule["resourceNames"] = options["resource-name"]
        return _object("rbac.authorization.k8s.io/v1", kind, _one_name(kind.lower(), names), rules=list(rules.values()))

    return make


def _binding(kind: str) -> Callable[[Context, list[str]], dict[str, Any]]:
    def make(context: Context, names: list[str]) -> dict[str, Any]:
        options, group = context.options, "rbac.authorization.k8s.io"
        if bool(options["clusterrole"]) == bool(options["role"]):
            raise UsageError("exactly one of clusterrole or role must be specified")
        subjects: list[dict[str, Any]] = [{"kind": "User", "apiGroup": group, "name": user} for user in options["user"]]
        subjects += [{"kind": "Group", "apiGroup": group, "name": name} for name in options["group"]]
        for account in options["serviceaccount"]:
            namespace, colon, name = account.partition(":")
            if not colon or not name:
                raise UsageError("serviceaccount must be <namespace>:<name>")
            subjects.append({"kind": "ServiceAccount", "namespace": namespace, "name": name})
        role_kind = "ClusterRole" if options["clusterrole"] else "Role"
        role = {"apiGroup": group, "kind": role_kind, "name": options["clusterrole"] or options["role"]}
        return _object(f"{group}/v1", kind, _one_name(kind.lower(), names), subjects=subjects, roleRef=role)

    return make


def _token(context: Context, names: list[str]) -> dict[str, Any]:
    """`create token NAME` prints a token instead of making an object."""
    name = _one_name("token", names)
    spec: dict[str, Any] = {"audiences": context.options["audience"]}
    if context.options["duration"]:
        spec["expirationSeconds"] = int(context.options["duration"])
    path = f"/api/v1/namespaces/{context.namespace}/serviceaccounts/{name}/token"
    answer = context.session.send(
        "POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    )
    print(answer["status"]["token"])
    raise SystemExit(0)


_GENERATORS: dict[str, Callable[[Context, list[str]], dict[str, Any]]] = {
    "namespace": _namespace, "ns": _namespace, "serviceaccount": _service_account, "sa": _service_account,
    "deployment": _deployment, "deploy": _deployment, "configmap": _config_map, "cm": _config_map, "secret": _secret,
    "role": _role("Role"), "clusterrole": _role("ClusterRole"), "rolebinding": _binding("RoleBinding"),
    "clusterrolebinding": _binding("ClusterRoleBinding"), "token": _token,
}  # fmt: skip

COMMAND = Command(
    usage="-f FILENAME | (deployment|configmap|secret|namespace|serviceaccount|role|token|...) NAME [flags]",
    help="Create objects from manifests or from a few words.",
    run=run,
    flags=(
        FILENAME,
        RECURSIVE,
        writing.DRY_RUN,
        writing.VALIDATE,
        writing.field_manager("kubectl-create"),
        output.OUTPUT,
        output.SHOW_MANAGED,
        Flag("image", "deployment: image of each container", kind="list"),
        Flag("replicas", "deployment: how many pods", short="r", kind="int", default=1),
        Flag("port", "deployment: the port that the container listens on", kind="int"),
        Flag("from-literal", "configmap, secret: key=value", kind="array"),
        Flag("from-file", "configmap, secret: [key=]file or directory", kind="array"),
        Flag("from-env-file", "configmap, secret: a file of key=value lines", kind="array"),
        Flag("type", "secret: its type"),
        Flag("cert", "secret tls: certificate file"),
        Flag("key", "secret tls: key file"),
        Flag("verb", "role: allowed verbs", kind="list"),
        Flag("resource", "role: resources", kind="list"),
        Flag("resource-name", "role: only these names", kind="list"),
        Flag("clusterrole", "rolebinding: the cluster role"),
        Flag("role", "rolebinding: the role"),
        Flag("user", "rolebinding: users", kind="list"),
        Flag("group", "rolebinding: groups", kind="list"),
        Flag("serviceaccount", "rolebinding: NAMESPACE:NAME", kind="list"),
        Flag("audience", "token: who shall accept it", kind="list"),
        Flag("duration", "token: how long it is valid", kind="duration"),
    ),
    examples="""
create -f web.yaml
create deployment web --image=hello:1 --replicas=3
create configmap site --from-file=index.html --from-literal=mode=fast
create token default --duration=1h
""",
)
