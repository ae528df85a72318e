"""Sets of applied objects that remember their members, so that those left out of the manifests are deleted.

A parent object (a Secret, unless another is named) has the set's id as label, and the kinds and namespaces of its
members as annotations; members have the id as label. Source: k8s.io/kubectl pkg/cmd/apply/applyset.go, KEP 3659.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Iterable
from typing import Any

from tiphys import __version__
from tiphys.kubectl import writing
from tiphys.kubectl.command import Context
from tiphys.kubectl.flags import UsageError
from tiphys.kubectl.resources import ResourceType, Target
from tiphys.kubectl.session import ServerError

_ID, _MEMBER = "applyset.kubernetes.io/id", "applyset.kubernetes.io/part-of"
_TOOLING = "applyset.kubernetes.io/tooling"
_KINDS, _NAMESPACES = "applyset.kubernetes.io/contains-group-kinds", "applyset.kubernetes.io/additional-namespaces"
_PARENTS = ("Secret", "ConfigMap")
_TOOL = "kubectl"


class ApplySet:
    """One set during one command: `join` each object before it is applied, `finish` afterwards."""

    def __init__(self, context: Context, word: str) -> None:
        """`word`: [TYPE/]NAME of the parent. Raises UsageError, ServerError."""
        self._context = context
        kind, slash, name = word.partition("/")
        found = context.resources.find(kind if slash else "secrets")
        if found.kind not in _PARENTS:
            raise UsageError(f"{found.plural} is not permitted as an ApplySet parent: use a secret or a configmap")
        self._parent = Target(found, name if slash else word, context.namespace)
        self._kinds: set[tuple[str, str]] = set()
        self._namespaces: set[str] = set()
        self._applied: set[str] = set()
        self._old_kinds, self._old_namespaces = self._before()

    @property
    def id(self) -> str:
        target = self._parent
        text = ".".join((target.name, target.namespace, target.type.kind, target.type.group))
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        return f"applyset-{digest}-v1"

    def _before(self) -> tuple[set[tuple[str, str]], set[str]]:
        try:
            metadata = self._context.session.get(self._parent.path())["metadata"]
        except ServerError as error:
            if error.reason == "NotFound":
                return set(), set()
            raise
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        head = f'ApplySet parent object "{self._parent.shown}"'
        if _TOOLING not in annotations:
            raise UsageError(f'{head} already exists and is missing required annotation "{_TOOLING}"')
        tool = annotations[_TOOLING].partition("/")[0]
        if tool != _TOOL:
            raise UsageError(f'{head} already exists and is managed by tooling "{tool}" instead of "{_TOOL}"')
        if labels.get(_ID) != self.id:
            raise UsageError(
                f'{head} exists and has incorrect value for label "{_ID}" (got: {labels.get(_ID)}, want: {self.id})'
            )
        kinds = {_kind(text) for text in annotations.get(_KINDS, "").split(",") if text}
        return kinds, {name for name in annotations.get(_NAMESPACES, "").split(",") if name}

    def begin(self, members: Iterable[tuple[Target, dict[str, Any]]]) -> None:
        """Label the members, and write down beforehand what kinds and namespaces there may be."""
        for target, obj in members:
            labels = obj["metadata"].setdefault("labels", {})
            if _MEMBER in labels:
                raise UsageError(f'ApplySet label "{_MEMBER}" already set in input data')
            labels[_MEMBER] = self.id
            self._kinds.add((target.type.kind, target.type.group))
            self._namespaces.add(target.namespace)
        self._write(self._old_kinds | self._kinds, self._old_namespaces | self._namespaces)

    def joined(self, uid: str) -> None:
        """An object was applied, or could not be: it stays."""
        self._applied.add(uid)

    def prune(self) -> int:
        """Delete members that were not applied now; then the parent says what is left. 1 where one was refused."""
        code = 0
        for kind in self._types(self._old_kinds):
            namespaces = self._old_namespaces | {self._parent.namespace} if kind.namespaced else {""}
            for namespace in sorted(namespaces):
                code = max(code, self._prune(kind, namespace))
        if not code:
            self._write(self._kinds, self._namespaces)
        return code

    def _types(self, kinds: Iterable[tuple[str, str]]) -> list[ResourceType]:
        known = {(kind.kind, kind.group): kind for kind in reversed(self._context.resources.all())}
        return [known[each] for each in sorted(kinds) if each in known]

    def _prune(self, kind: ResourceType, namespace: str) -> int:
        session, code = self._context.session, 0
        listed = session.get(kind.path(namespace), {"labelSelector": f"{_MEMBER}={self.id}"})
        for item in listed.get("items") or ():
            metadata = item["metadata"]
            if metadata["uid"] in self._applied:
                continue
            target = Target(kind, metadata["name"], metadata.get("namespace", ""))
            try:
                if writing.dry_run(self._context) == "none":
                    session.send("DELETE", target.path(), {"preconditions": {"uid": metadata["uid"]}})
            except ServerError as error:
                if error.reason != "NotFound":
                    print(error.shown(), file=sys.stderr)
                    code = 1
                continue
            print(f"{target.shown} pruned{writing.dry_run_suffix(self._context)}")
        return code

    def _write(self, kinds: set[tuple[str, str]], namespaces: set[str]) -> None:
        if writing.dry_run(self._context) != "none":
            return
        annotations = {
            _TOOLING: f"{_TOOL}/v{__version__}",
            _KINDS: ",".join(sorted(f"{kind}.{group}" if group else kind for kind, group in kinds)),
            _NAMESPACES: ",".join(sorted(namespaces - {"", self._parent.namespace})),
        }
        kind, name = self._parent.type, self._parent.name
        metadata = {
            "name": name,
            "namespace": self._parent.namespace,
            "labels": {_ID: self.id},
            "annotations": annotations,
        }
        body = json.dumps({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}).encode()
        query = {"fieldManager": f"{_TOOL}-applyset", "force": "true"}
        media = "application/apply-patch+yaml"
        self._context.session.send("PATCH", self._parent.path(), body, query, content_type=media)


def _kind(text: str) -> tuple[str, str]:
    kind, _, group = text.partition(".")
    return kind, group
