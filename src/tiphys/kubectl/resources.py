"""Which kinds the server has, by all the names that people use for them; and `TYPE/NAME` words read into objects.

Everything comes from discovery, so custom resources work like built-in ones.
Source: k8s.io/cli-runtime pkg/resource (builder.go), k8s.io/apimachinery restmapper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.kubectl.flags import UsageError
from tiphys.kubectl.session import ServerError, Session

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


_MIXED_FORMS = (
    "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form "
    "(e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl get resource resource/<resource_name>'"
)


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A kind as discovery shows it."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    verbs: tuple[str, ...]
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`deployment.apps`: how messages and `-o name` call it."""
        return f"{self.singular}.{self.group}" if self.group else self.singular

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        head = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return head + scope + "".join(f"/{part}" for part in (self.plural, name, subresource) if part)


@dataclass(frozen=True, slots=True)
class Target:
    """An object that a command is about."""

    type: ResourceType
    name: str
    namespace: str = ""

    def path(self, subresource: str = "") -> str:
        return self.type.path(self.namespace, self.name, subresource)

    @property
    def shown(self) -> str:
        """`deployment.apps/web`"""
        return f"{self.type.qualified}/{self.name}"


class Resources:
    """Discovery, asked once per command and only when needed."""

    def __init__(self, session: Session, namespace: str = "") -> None:
        """`namespace`: where objects are that words name."""
        self._session = session
        self._namespace = namespace
        self._types: list[ResourceType] | None = None

    def all(self) -> list[ResourceType]:
        """Every kind in its preferred version first. Raises ServerError, Unreachable."""
        if self._types is None:
            self._types = [kind for path in ("/api", "/apis") for kind in self._discover(path)]
        return self._types

    def _discover(self, path: str) -> Iterator[ResourceType]:
        answer = self._session.get(path, accept=_AGGREGATED)
        if answer.get("kind") == "APIGroupDiscoveryList":
            for group in answer.get("items", []):
                for version in group.get("versions", []):
                    yield from _aggregated(group.get("metadata", {}).get("name", ""), version)
            return
        versions = answer.get("versions") or [
            version["groupVersion"] for group in answer.get("groups", []) for version in group["versions"]
        ]
        for version in versions:
            yield from _legacy(self._session.get(f"{path}/{version}"))

    def find(self, word: str) -> ResourceType:
        """`po`, `pod`, `pods`, `Pod`, `deployments.apps`, `deployments.v1.apps`. Raises UsageError."""
        name, _, qualifier = word.lower().partition(".")
        for kind in self.all():
            named = name in (kind.plural, kind.singular, kind.kind.lower(), *kind.short_names)
            if named and (not qualifier or _qualified(kind, qualifier)):
                return kind
        raise UsageError(f'the server doesn\'t have a resource type "{word}"')

    def for_object(self, obj: dict[str, Any]) -> ResourceType:
        """The kind of a manifest. Raises UsageError with kubectl's words."""
        kind, api_version = str(obj.get("kind") or ""), str(obj.get("apiVersion") or "")
        for found in self.all():
            if found.kind == kind and found.api_version == api_version:
                return found
        name = (obj.get("metadata") or {}).get("name", "")
        raise UsageError(
            f'resource mapping not found for name: "{name}" namespace: "": '
            f'no matches for kind "{kind}" in version "{api_version}"\nensure CRDs are installed first'
        )

    def types(self, word: str) -> list[ResourceType]:
        """The kinds that `pods,svc` or a category such as `all` stands for. Raises UsageError."""
        found: list[ResourceType] = []
        for part in word.split(","):
            category = [kind for kind in self.all() if part.lower() in kind.categories and "list" in kind.verbs]
            found += category or [self.find(part)]
        return list(dict.fromkeys(found))

    def targets(self, words: Sequence[str]) -> tuple[list[ResourceType], list[Target]]:
        """Read `TYPE`, `TYPE NAME...`, `TYPE/NAME...`: either kinds to list or objects by name. Raises UsageError."""
        if not words:
            return [], []
        if any("/" in word for word in words):
            if not all("/" in word for word in words):
                raise UsageError(_MIXED_FORMS)
            pairs = [word.partition("/") for word in words]
            if any(not name or "/" in name for _, _, name in pairs):
                raise UsageError("arguments in resource/name form must have a single resource and name")
            return [], [self._target(self.find(kind), name) for kind, _, name in pairs]
        kinds, names = self.types(words[0]), words[1:]
        if not names:
            return kinds, []
        if len(kinds) > 1:
            raise UsageError("you may only specify one resource type with names")
        return [], [self._target(kinds[0], name) for name in names]

    def _target(self, kind: ResourceType, name: str) -> Target:
        return Target(kind, name, self._namespace if kind.namespaced else "")


def _qualified(kind: ResourceType, qualifier: str) -> bool:
    return qualifier in (kind.group, f"{kind.version}.{kind.group}", kind.version if not kind.group else kind.group)


def _aggregated(group: str, version: dict[str, Any]) -> Iterator[ResourceType]:
    for resource in version.get("resources", []):
        yield ResourceType(
            group=group,
            version=version["version"],
            kind=resource["responseKind"]["kind"],
            plural=resource["resource"],
            singular=resource.get("singularResource") or resource["responseKind"]["kind"].lower(),
            namespaced=resource.get("scope") == "Namespaced",
            short_names=tuple(resource.get("shortNames") or ()),
            categories=tuple(resource.get("categories") or ()),
            verbs=tuple(resource.get("verbs") or ()),
            subresources=tuple(sub["subresource"] for sub in resource.get("subresources") or ()),
        )


def _legacy(answer: dict[str, Any]) -> Iterator[ResourceType]:
    group, _, version = answer["groupVersion"].rpartition("/")
    resources = answer.get("resources", [])
    for resource in resources:
        if "/" in resource["name"]:
            continue
        prefix = resource["name"] + "/"
        yield ResourceType(
            group=group,
            version=version,
            kind=resource["kind"],
            plural=resource["name"],
            singular=resource.get("singularName") or resource["kind"].lower(),
            namespaced=bool(resource.get("namespaced")),
            short_names=tuple(resource.get("shortNames") or ()),
            categories=tuple(resource.get("categories") or ()),
            verbs=tuple(resource.get("verbs") or ()),
            subresources=tuple(r["name"].removeprefix(prefix) for r in resources if r["name"].startswith(prefix)),
        )


def fetch(session: Session, target: Target) -> dict[str, Any]:
    """The object as it is now. Raises ServerError (NotFound ...)."""
    obj: dict[str, Any] = session.get(target.path())
    return obj


def is_missing(error: ServerError) -> bool:
    return error.reason == "NotFound"
