"""`kubectl auth can-i` and `kubectl auth whoami`."""

from __future__ import annotations

import sys
from typing import Any

from tiphys.kubectl import output, selection
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError

_REVIEWS = "/apis/authorization.k8s.io/v1"


def run(context: Context) -> int:
    """The first word is what to ask."""
    if not context.words:
        raise UsageError("auth needs one of: can-i, whoami")
    action, *words = context.words
    if action == "whoami":
        return _whoami(context)
    if action != "can-i":
        raise UsageError(f'unknown command "{action}" for "auth"')
    return _listed(context) if context.options["list"] else _can(context, words)


def _can(context: Context, words: list[str]) -> int:
    if len(words) not in (2, 3):
        raise UsageError("you must specify two arguments: verb resource or verb resource/resourceName.")
    verb, what = words[:2]
    if what.startswith("/"):
        spec: dict[str, Any] = {"nonResourceAttributes": {"path": what, "verb": verb}}
    else:
        spec = {"resourceAttributes": _attributes(context, verb, what, words[2] if len(words) == 3 else "")}
    status = context.session.send("POST", f"{_REVIEWS}/selfsubjectaccessreviews", {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec,
    })["status"]  # fmt: skip
    allowed = bool(status.get("allowed"))
    if not context.options["quiet"]:
        reason, error = status.get("reason"), status.get("evaluationError")
        tail = f" - {reason}" if reason and not allowed else ""
        print(("yes" if allowed else f"no{tail}") + (f" - {error}" if error and not allowed else ""))
    return 0 if allowed else 1


def _attributes(context: Context, verb: str, what: str, name: str) -> dict[str, Any]:
    plural, slash, own = what.partition("/")
    attributes = {"verb": verb, "resource": plural, "name": own if slash else name}
    try:
        kind = context.resources.find(plural)
    except UsageError:
        print(f"Warning: the server doesn't have a resource type '{plural}'\n", file=sys.stderr)
        namespaced = True
    else:
        attributes |= {"resource": kind.plural, "group": kind.group}
        namespaced = kind.namespaced
        if not namespaced and "namespace" in context.options.given:
            print(f"Warning: resource '{kind.plural}' is not namespace scoped{_in(kind.group)}\n", file=sys.stderr)
    if namespaced and not context.options["all-namespaces"]:
        attributes["namespace"] = context.namespace
    if context.options["subresource"]:
        attributes["subresource"] = context.options["subresource"]
    return {key: value for key, value in attributes.items() if value}


def _in(group: str) -> str:
    return f" in group '{group}'" if group else ""


def _listed(context: Context) -> int:
    status = context.session.send("POST", f"{_REVIEWS}/selfsubjectrulesreviews", {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": context.namespace},
    })["status"]  # fmt: skip
    if status.get("incomplete"):
        why = f": {status['evaluationError']}" if status.get("evaluationError") else ""
        print(f"warning: the list may be incomplete{why}", file=sys.stderr)
    rows = []
    for rule in status.get("resourceRules") or ():
        for group in rule.get("apiGroups") or [""]:
            for resource in rule.get("resources") or ():
                shown = f"{resource}.{group}" if group else resource
                row = (shown, "[]", _words(rule.get("resourceNames")), _words(rule.get("verbs")))
                rows.append((0, group, row))
    for rule in status.get("nonResourceRules") or ():
        rows += [
            (1, "", ("", _words([path]), "[]", _words(rule.get("verbs")))) for path in rule.get("nonResourceURLs") or ()
        ]
    headings = ("Resources", "Non-Resource URLs", "Resource Names", "Verbs")
    output.print_rows([headings, *(row for _, _, row in sorted(rows))])
    return 0


def _words(values: Any) -> str:
    return f"[{' '.join(values or ())}]"


def _whoami(context: Context) -> int:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    review = context.session.send("POST", path, body)
    if context.options["output"]:
        output.show(context, [review], listed=False)
        return 0
    user = review["status"]["userInfo"]
    rows = [("ATTRIBUTE", "VALUE"), ("Username", user["username"])]
    if user.get("uid"):
        rows.append(("UID", user["uid"]))
    if user.get("groups"):
        rows.append(("Groups", _words(user["groups"])))
    rows += [(f"Extra: {key}", _words(values)) for key, values in sorted((user.get("extra") or {}).items())]
    output.print_rows(rows)
    return 0


COMMAND = Command(
    usage="can-i VERB TYPE[/NAME] | can-i VERB /PATH | can-i --list | whoami",
    help="Ask the server who you are and what you may do.",
    run=run,
    flags=(
        selection.ALL_NAMESPACES,
        Flag("subresource", "a subresource, such as log or status"),
        Flag("list", "everything that is allowed", kind="bool"),
        Flag("quiet", "only the exit code", short="q", kind="bool"),
        *output.FLAGS,
    ),
    examples="auth can-i create pods\nauth can-i get pods --subresource=log --as=bob\nauth whoami",
)
