"""A remote authorizer: SubjectAccessReview to a service, its answers remembered, match conditions in front.

Source: staging/src/k8s.io/apiserver/plugin/pkg/authorizer/webhook/webhook.go.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from tiphys.api.errors import FieldError, invalid
from tiphys.apiserver.authz.config import WebhookConfiguration
from tiphys.apiserver.authz.decision import NO_OPINION, Decision, Rules
from tiphys.apiserver.authz.selectors import field_requirements, label_requirements
from tiphys.apiserver.configfile import seconds
from tiphys.apiserver.request import RequestInfo, User
from tiphys.apiserver.webhook import Webhook, WebhookError
from tiphys.base.clock import Clock

if TYPE_CHECKING:
    from tiphys.api.cel import Program

log = logging.getLogger(__name__)
_MAX_REMEMBERED = 8192
_MAX_KEY_LETTERS = 10_000
"""Of what the client chose: longer questions are asked each time, lest they fill the memory."""


class WebhookAuthorizer:
    """Asks `webhook` whatever its match conditions let through."""

    def __init__(
        self, name: str, config: WebhookConfiguration, webhook: Webhook, conditions: Sequence[Program], clock: Clock
    ) -> None:
        self.name = name
        self._webhook = webhook
        self._conditions = tuple(conditions)
        self._api_version = f"authorization.k8s.io/{config.subject_access_review_version}"
        self._groups_field = "group" if config.subject_access_review_version == "v1beta1" else "groups"
        self._on_error = Decision(denied=config.failure_policy == "Deny")
        self._allowed_ttl_s = seconds(config.authorized_ttl) if config.cache_authorized_requests else 0.0
        self._refused_ttl_s = seconds(config.unauthorized_ttl) if config.cache_unauthorized_requests else 0.0
        self._clock = clock
        self._known: dict[bytes, tuple[Decision, float]] = {}

    def known(self, user: User, info: RequestInfo) -> Decision | None:
        spec = spec_of(user, info)
        skipped = self._skipped(spec)
        if skipped is not None:
            return skipped
        return self._remembered(msgspec.json.encode(spec))

    def _remembered(self, key: bytes) -> Decision | None:
        found = self._known.get(key)
        return found[0] if found is not None and found[1] > self._clock.monotonic() else None

    async def ask(self, user: User, info: RequestInfo) -> Decision:
        spec = spec_of(user, info)
        skipped = self._skipped(spec)
        if skipped is not None:
            return skipped
        key = msgspec.json.encode(spec)
        found = self._remembered(key)
        if found is not None:
            return found
        sent = dict(spec)
        if self._groups_field != "groups" and "groups" in sent:
            sent[self._groups_field] = sent.pop("groups")
        review = {"kind": "SubjectAccessReview", "apiVersion": self._api_version, "metadata": {}, "spec": sent}
        try:
            answer = await self._webhook.post(review)
        except WebhookError as error:
            log.error("Failed to make webhook authorizer request: %s", error)
            return self._on_error._replace(error=str(error))
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict):
            return self._on_error._replace(error=f"webhook {self.name}: the answer has no status")
        decision = _decision(status)
        ttl_s = self._allowed_ttl_s if status.get("allowed") else self._refused_ttl_s
        if ttl_s and _letters(info) < _MAX_KEY_LETTERS:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[key] = (decision, self._clock.monotonic() + ttl_s)
        return decision

    def _skipped(self, spec: dict[str, Any]) -> Decision | None:
        """What is decided without asking: no opinion where a condition does not hold; None: ask."""
        if not self._conditions:
            return None
        from tiphys.api.cel import EvaluationError

        failures = []
        for condition in self._conditions:
            try:
                if condition.evaluate({"request": spec}) is not True:
                    return NO_OPINION
            except EvaluationError as error:
                failures.append(f"cel evaluation error: expression '{condition.expression}' resulted in error: {error}")
        return self._on_error._replace(error="; ".join(failures)) if failures else None

    def rules_for(self, _user: User, _namespace: str) -> Rules:
        return Rules([], ["webhook authorizer does not support user rule resolution"])

    def close(self) -> None:
        self._known.clear()


def _decision(status: dict[str, Any]) -> Decision:
    allowed, denied = bool(status.get("allowed")), bool(status.get("denied"))
    reason = str(status.get("reason") or "")
    if allowed and denied:
        why = "webhook subject access review returned both allow and deny response"
        return Decision(denied=True, reason=reason, error=why)
    return Decision(allowed, denied, reason)


def spec_of(user: User, info: RequestInfo) -> dict[str, Any]:
    """The SubjectAccessReviewSpec of a question, without what is empty."""
    spec: dict[str, Any] = {}
    if info.is_resource:
        attributes: dict[str, Any] = {
            "namespace": info.namespace, "verb": info.verb, "group": info.group, "version": info.version,
            "resource": info.resource, "subresource": info.subresource, "name": info.name,
        }  # fmt: skip
        for field, requirements in (
            ("fieldSelector", field_requirements(info)), ("labelSelector", label_requirements(info)),
        ):  # fmt: skip
            if requirements:
                attributes[field] = {"requirements": requirements}
        spec["resourceAttributes"] = {key: value for key, value in attributes.items() if value}
    else:
        spec["nonResourceAttributes"] = {"path": info.path, "verb": info.verb}
    spec["user"] = user.name
    if user.groups:
        spec["groups"] = list(user.groups)
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra.items()}
    if user.uid:
        spec["uid"] = user.uid
    return spec


def _letters(info: RequestInfo) -> int:
    return sum(map(len, (info.namespace, info.verb, info.group, info.version, info.resource, info.subresource,
                         info.name, info.path)))  # fmt: skip


def compiled(config: WebhookConfiguration, at: str) -> tuple[list[Program], list[FieldError]]:
    """The match conditions, and what is wrong with those that do not compile."""
    if not config.match_conditions:
        return [], []
    from tiphys.api.cel import CelError, Environment, types

    environment = Environment({"request": _request_type()})
    programs: list[Program] = []
    errors: list[FieldError] = []
    for index, condition in enumerate(config.match_conditions):
        try:
            programs.append(cast("Program", environment.compile(condition.expression, types.BOOL)))
        except CelError as error:
            errors.append(invalid(f"{at}.matchConditions[{index}].expression", condition.expression, str(error)))
    return programs, errors


def _request_type() -> Any:
    """`request`: a SubjectAccessReviewSpec of v1."""
    from tiphys.api.cel import types

    def struct(name: str, /, **fields: Any) -> Any:
        return types.ObjectType(name, lambda: {field: types.Field(field, type_) for field, type_ in fields.items()})

    texts = types.list_of(types.STRING)
    requirement = struct("kubernetes.SelectorRequirement", key=types.STRING, operator=types.STRING, values=texts)
    selector = struct("kubernetes.Selector", rawSelector=types.STRING, requirements=types.list_of(requirement))
    resource = struct(
        "kubernetes.ResourceAttributes",
        **dict.fromkeys(("namespace", "verb", "group", "version", "resource", "subresource", "name"), types.STRING),
        fieldSelector=selector, labelSelector=selector,
    )  # fmt: skip
    path = struct("kubernetes.NonResourceAttributes", path=types.STRING, verb=types.STRING)
    return struct(
        "kubernetes.SubjectAccessReviewSpec", resourceAttributes=resource, nonResourceAttributes=path,
        user=types.STRING, groups=texts, extra=types.map_of(types.STRING, texts), uid=types.STRING,
    )  # fmt: skip
