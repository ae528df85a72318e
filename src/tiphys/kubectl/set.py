"""`kubectl set image|env|resources|serviceaccount`: small changes of what runs pods, as strategic patches."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tiphys.kubectl import output, selection, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE
from tiphys.kubectl.resources import Target, fetch

Container = dict[str, Any]
Spec = dict[str, Any]
Change = Callable[[Context, Target, Spec, list[str]], Spec]
"""(context, object, its pod spec, the words) -> what the patch says of the pod spec; empty: nothing to do."""

_PATHS = {"Pod": ("spec",), "CronJob": ("spec", "jobTemplate", "spec", "template", "spec")}
_TEMPLATE = ("spec", "template", "spec")


def run(context: Context) -> int:
    """The first word says what is set."""
    if not context.words or context.words[0] not in _CHANGES:
        raise UsageError(f"set needs one of: {', '.join(sorted(_CHANGES))}")
    change, done, own = _CHANGES[context.words[0]]
    rest = context.words[1:]
    said = [word for word in rest if own(word)]
    words = [word for word in rest if not own(word)]
    if context.words[0] == "serviceaccount":
        words, said = rest[:-1], rest[-1:]
        if context.options["filename"]:
            words, said = [], rest
    for target in selection.named(context, words):
        obj = fetch(context.session, target)
        path = _PATHS.get(target.type.kind, _TEMPLATE)
        spec = _at(obj, path)
        if spec is None:
            raise UsageError(f"{target.shown}: the object is not a pod or does not have a pod template")
        patch: Any = change(context, target, spec, said)
        if not patch:
            continue
        for part in reversed(path):
            patch = {part: patch}
        after = obj
        if writing.dry_run(context) != "client":
            media = "application/strategic-merge-patch+json"
            after = context.session.send("PATCH", target.path(), patch, writing.query(context), content_type=media)
        writing.tell(context, target, done, after)
    return 0


def _at(obj: dict[str, Any], path: tuple[str, ...]) -> Spec | None:
    found: Any = obj
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def image(_context: Context, _target: Target, spec: Spec, words: list[str]) -> Spec:
    """`CONTAINER=IMAGE`, `*=IMAGE`. Raises UsageError for a container that is not there."""
    if not words:
        raise UsageError("at least one image update is required")
    patch: Spec = {}
    for word in words:
        name, _, wanted = word.partition("=")
        found = False
        for field in ("initContainers", "containers"):
            for container in spec.get(field) or ():
                if name not in ("*", container["name"]):
                    continue
                found = True
                if container.get("image") != wanted:
                    patch.setdefault(field, []).append({"name": container["name"], "image": wanted})
        if not found:
            raise UsageError(f'unable to find container named "{name}"')
    return patch


def env(context: Context, target: Target, spec: Spec, words: list[str]) -> Spec:
    """`KEY=VALUE`, `KEY-`; or, with --list, what there is."""
    containers = _chosen(context, spec)
    if context.options["list"]:
        for container in containers:
            print(f"# {target.type.kind} {target.name}, container {container['name']}")
            for each in container.get("env") or ():
                origin = each.get("valueFrom")
                print(
                    f"{each['name']}={each.get('value', '')}"
                    if origin is None
                    else f"# {each['name']} from {_origin(origin)}"
                )
        return {}
    if not words:
        raise UsageError("at least one environment variable must be provided")
    changes: list[dict[str, Any]] = []
    for word in words:
        name, equals, value = word.partition("=")
        changes.append({"name": name, "value": value} if equals else {"name": name[:-1], "$patch": "delete"})
    patched = []
    for container in containers:
        known = {each["name"]: each for each in container.get("env") or ()}
        own = [
            {**change, "valueFrom": None}
            if "valueFrom" in known.get(change["name"], {}) and "value" in change
            else change
            for change in changes
            if ("$patch" in change) == (change["name"] in known) or "value" in change
        ]
        own = [
            change
            for change in own
            if "$patch" in change or known.get(change["name"], {}).get("value") != change["value"]
        ]
        if own:
            patched.append({"name": container["name"], "env": own})
    return {"containers": patched} if patched else {}


def _origin(source: dict[str, Any]) -> str:
    if ref := source.get("secretKeyRef"):
        return f"secret {ref.get('name', '')}, key {ref['key']}"
    if ref := source.get("configMapKeyRef"):
        return f"configmap {ref.get('name', '')}, key {ref['key']}"
    if ref := source.get("fieldRef"):
        return f"field path {ref['fieldPath']}"
    ref = source.get("resourceFieldRef") or {}
    return f"resource {ref.get('resource', '')}"


def resources(context: Context, _target: Target, spec: Spec, _words: list[str]) -> Spec:
    """--limits and --requests of each container."""
    wanted = {name: _amounts(str(context.options[name])) for name in ("limits", "requests") if context.options[name]}
    if not wanted:
        raise UsageError("you must specify an update to requests or limits (in the form of --requests/--limits)")
    return {"containers": [{"name": each["name"], "resources": wanted} for each in _chosen(context, spec)]}


def _amounts(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part]
    if any(not equals for _, equals, _ in pairs):
        raise UsageError(f"invalid argument syntax {text}, expected <resource>=<value>")
    return {name: value for name, _, value in pairs}


def service_account(_context: Context, _target: Target, spec: Spec, words: list[str]) -> Spec:
    if len(words) != 1 or "/" in words[0]:
        raise UsageError("serviceaccount is required")
    return {} if spec.get("serviceAccountName") == words[0] else {"serviceAccountName": words[0]}


def _chosen(context: Context, spec: Spec) -> list[Container]:
    """Those that -c names; `*` is any text."""
    import fnmatch

    pattern = str(context.options["containers"])
    found = [each for each in spec.get("containers") or () if fnmatch.fnmatchcase(each["name"], pattern)]
    if not found:
        print(f"warning: no containers match {pattern!r}", file=sys.stderr)
    return found


def _is_pair(word: str) -> bool:
    return "=" in word


def _is_variable(word: str) -> bool:
    return "=" in word or (word.endswith("-") and "/" not in word)


def _never(_word: str) -> bool:
    return False


_CHANGES: dict[str, tuple[Change, str, Callable[[str], bool]]] = {
    "image": (image, "image updated", _is_pair),
    "env": (env, "env updated", _is_variable),
    "resources": (resources, "resource requirements updated", _never),
    "serviceaccount": (service_account, "serviceaccount updated", _never),
}
COMMAND = Command(
    usage="image|env|resources|serviceaccount TYPE NAME ...",
    help="Set images, variables, resources or the service account of what runs pods.",
    run=run,
    flags=(
        Flag("containers", "which containers; * is any text", short="c", default="*"),
        selection.ALL,
        selection.SELECTOR,
        Flag("list", "env: show what there is", kind="bool"),
        Flag("limits", "resources: cpu=500m,memory=1Gi"),
        Flag("requests", "resources: cpu=250m,memory=512Mi"),
        FILENAME,
        RECURSIVE,
        writing.DRY_RUN,
        writing.field_manager("kubectl-set"),
        *output.FLAGS,
    ),
    examples="set image deployment/web web=hello:2\nset env deployment/web LEVEL=debug OLD-\n"
    "set resources deployment/web -c=web --limits=cpu=500m,memory=1Gi",
)
