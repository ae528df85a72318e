"""From the claims of a verified token to a user: mappings and rules of one issuer, expressions compiled once.

Source: staging/src/k8s.io/apiserver/plugin/pkg/authenticator/token/oidc/oidc.go, pkg/authentication/cel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tiphys.api.errors import FieldError, invalid
from tiphys.apiserver.chain.oidc.config import ClaimOrExpression, JwtAuthenticator, PrefixedClaimOrExpression
from tiphys.apiserver.chain.tokens import InvalidToken
from tiphys.apiserver.request import User

Claims = Mapping[str, Any]


class ClaimMapper:
    """`errors` says which expressions do not compile; with any, the mapper must not be used."""

    def __init__(self, config: JwtAuthenticator, at: str) -> None:
        self._config = config
        self._at = at
        self._programs: dict[str, Any] = {}
        """Compiled expressions, by field path."""
        self.errors: list[FieldError] = list(self._compile())

    def _compile(self) -> Iterator[FieldError]:
        config, mappings = self._config, self._config.claim_mappings
        wanted = [
            ("claimMappings.username.expression", mappings.username.expression, "claims"),
            ("claimMappings.groups.expression", mappings.groups.expression, "claims"),
            ("claimMappings.uid.expression", mappings.uid.expression, "claims"),
        ]
        wanted += [
            (f"claimMappings.extra[{i}].valueExpression", extra.value_expression, "claims")
            for i, extra in enumerate(mappings.extra)
        ]
        wanted += [
            (f"claimValidationRules[{i}].expression", rule.expression, "claims")
            for i, rule in enumerate(config.claim_validation_rules)
        ]
        wanted += [
            (f"userValidationRules[{i}].expression", rule.expression, "user")
            for i, rule in enumerate(config.user_validation_rules)
        ]
        present = [(path, text, variable) for path, text, variable in wanted if text]
        if not present:
            return
        from tiphys.api.cel import CelError, Environment, types

        claims = Environment({"claims": types.map_of(types.STRING, types.DYN)})
        user = Environment({"user": _user_type()})
        for path, text, variable in present:
            try:
                program = (claims if variable == "claims" else user).compile(text, *_results(path, types))
            except CelError as error:
                yield invalid(f"{self._at}.{path}", text, str(error))
            else:
                self._programs[path] = program
        yield from self._unverified_mail()

    def _unverified_mail(self) -> Iterator[FieldError]:
        expression = self._config.claim_mappings.username.expression
        if "claims.email" not in expression.replace("claims.email_verified", ""):
            return
        checked = [
            expression,
            *[extra.value_expression for extra in self._config.claim_mappings.extra],
            *[rule.expression for rule in self._config.claim_validation_rules],
        ]
        if not any("claims.email_verified" in text or "claims.?email_verified" in text for text in checked):
            yield invalid(
                f"{self._at}.claimMappings.username.expression",
                expression,
                "claims.email_verified must be used in claimMappings.username.expression or "
                "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is "
                "used in claimMappings.username.expression",
            )

    def user(self, claims: Claims) -> User:
        """Raises InvalidToken in upstream's words."""
        mappings = self._config.claim_mappings
        name = self._username(claims)
        groups = self._groups(claims)
        uid = self._uid(mappings.uid, claims)
        extra = self._extra(claims)
        user = User(name, uid, tuple(groups), extra)
        self._check_claims(claims)
        self._check_user(user)
        return user

    def _evaluate(self, path: str, variables: Mapping[str, Any], what: str) -> Any:
        from tiphys.api.cel import EvaluationError

        try:
            return self._programs[path].evaluate(variables)
        except EvaluationError as error:
            raise InvalidToken(f"oidc: error evaluating {what}: {error}") from error

    def _username(self, claims: Claims) -> str:
        mapping = self._config.claim_mappings.username
        if mapping.expression:
            path = "claimMappings.username.expression"
            value = self._evaluate(path, {"claims": claims}, "username claim expression")
            if not isinstance(value, str):
                raise InvalidToken("oidc: error evaluating username claim expression: must return a string")
            if not value:
                raise InvalidToken("oidc: empty username via CEL expression is not allowed")
            return value
        name = claims.get(mapping.claim)
        if name is None:
            raise InvalidToken(f'oidc: parse username claims "{mapping.claim}": claim not present')
        if not isinstance(name, str):
            raise InvalidToken(f'oidc: parse username claims "{mapping.claim}": claim is no string')
        if mapping.claim == "email":
            verified = claims.get("email_verified", True)
            if not isinstance(verified, bool):
                raise InvalidToken("oidc: parse 'email_verified' claim: not a boolean")
            if not verified:
                raise InvalidToken("oidc: email not verified")
        return (mapping.prefix or "") + name

    def _groups(self, claims: Claims) -> list[str]:
        mapping: PrefixedClaimOrExpression = self._config.claim_mappings.groups
        if mapping.expression:
            value = self._evaluate("claimMappings.groups.expression", {"claims": claims}, "group claim expression")
            return _strings(value, "oidc: error evaluating group claim expression")
        if not mapping.claim or mapping.claim not in claims:
            return []
        groups = _strings(claims[mapping.claim], f'oidc: parse groups claim "{mapping.claim}"')
        return [(mapping.prefix or "") + group for group in groups]

    def _uid(self, mapping: ClaimOrExpression, claims: Claims) -> str:
        if mapping.expression:
            value = self._evaluate("claimMappings.uid.expression", {"claims": claims}, "uid claim expression")
            if not isinstance(value, str):
                raise InvalidToken("oidc: error evaluating uid claim expression: must return a string")
            return value
        if not mapping.claim:
            return ""
        found = claims.get(mapping.claim)
        if not isinstance(found, str):
            raise InvalidToken(f'oidc: parse uid claim "{mapping.claim}": claim not present or no string')
        return found

    def _extra(self, claims: Claims) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for index, mapping in enumerate(self._config.claim_mappings.extra):
            path = f"claimMappings.extra[{index}].valueExpression"
            value = self._evaluate(path, {"claims": claims}, "extra claim expression")
            values = _strings(value, "oidc: error evaluating extra claim expression")
            if values:
                found[mapping.key] = tuple(values)
        return found

    def _check_claims(self, claims: Claims) -> None:
        for index, rule in enumerate(self._config.claim_validation_rules):
            if rule.claim:
                if rule.claim not in claims:
                    raise InvalidToken(f"oidc: required claim {rule.claim} not present in ID token")
                value = claims[rule.claim]
                if not isinstance(value, str):
                    raise InvalidToken(f"oidc: parse claim {rule.claim}: claim is no string")
                if value != rule.required_value:
                    raise InvalidToken(
                        f"oidc: required claim {rule.claim} value does not match. "
                        f"Got = {value}, want = {rule.required_value}"
                    )
                continue
            what = "claim validation expression"
            path = f"claimValidationRules[{index}].expression"
            if self._evaluate(path, {"claims": claims}, what) is not True:
                raise _failed(what, rule.expression, rule.message)

    def _check_user(self, user: User) -> None:
        if not self._config.user_validation_rules:
            return
        shown = {
            "username": user.name, "uid": user.uid, "groups": list(user.groups),
            "extra": {key: list(values) for key, values in user.extra.items()},
        }  # fmt: skip
        for index, rule in enumerate(self._config.user_validation_rules):
            what = "user info validation rule"
            path = f"userValidationRules[{index}].expression"
            if self._evaluate(path, {"user": shown}, what) is not True:
                raise _failed(what, rule.expression, rule.message)


def _failed(what: str, expression: str, message: str) -> InvalidToken:
    return InvalidToken(
        f"oidc: error evaluating {what}: validation expression '{expression}' failed"
        + (f": {message}" if message else "")
    )


def _strings(value: Any, where: str) -> list[str]:
    """One text or a list of texts; empty ones are left out, as upstream. Raises InvalidToken."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return [item for item in value if item]
    raise InvalidToken(f"{where}: must be a string or a list of strings")


def _results(path: str, types: Any) -> tuple[Any, ...]:
    """Rules must be true or false; what mappings give is looked at when it is there, as claims have no types."""
    return (types.BOOL,) if "Rules" in path else ()


def _user_type() -> Any:
    from tiphys.api.cel import types

    return types.ObjectType(
        "kubernetes.UserInfo",
        lambda: {
            "username": types.Field("username", types.STRING),
            "uid": types.Field("uid", types.STRING),
            "groups": types.Field("groups", types.list_of(types.STRING)),
            "extra": types.Field("extra", types.map_of(types.STRING, types.list_of(types.STRING))),
        },
    )
