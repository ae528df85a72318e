"""AuthenticationConfiguration: JWT issuers and anonymous access, from `--authentication-config` or the OIDC flags.

Source: staging/src/k8s.io/apiserver/pkg/apis/apiserver/{v1/types.go,validation/validation.go}.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tiphys.api.errors import FieldError, duplicate, invalid, required
from tiphys.apiserver.configfile import Document, Section, read, refuse
from tiphys.apiserver.security import OidcFlags

_MAX_AUTHENTICATORS = 64
_BOTH = "claim and expression can't both be set"


class Issuer(Section, frozen=True, kw_only=True):
    url: str = ""
    discovery_url: str = ""
    certificate_authority: str = ""
    audiences: list[str] = []
    audience_match_policy: str = ""
    egress_selector_type: str = ""


class ClaimValidationRule(Section, frozen=True, kw_only=True):
    claim: str = ""
    required_value: str = ""
    expression: str = ""
    message: str = ""


class PrefixedClaimOrExpression(Section, frozen=True, kw_only=True):
    claim: str = ""
    prefix: str | None = None
    expression: str = ""


class ClaimOrExpression(Section, frozen=True, kw_only=True):
    claim: str = ""
    expression: str = ""


class ExtraMapping(Section, frozen=True, kw_only=True):
    key: str = ""
    value_expression: str = ""


class ClaimMappings(Section, frozen=True, kw_only=True):
    username: PrefixedClaimOrExpression = PrefixedClaimOrExpression()
    groups: PrefixedClaimOrExpression = PrefixedClaimOrExpression()
    uid: ClaimOrExpression = ClaimOrExpression()
    extra: list[ExtraMapping] = []


class UserValidationRule(Section, frozen=True, kw_only=True):
    expression: str = ""
    message: str = ""


class JwtAuthenticator(Section, frozen=True, kw_only=True):
    issuer: Issuer = Issuer()
    claim_validation_rules: list[ClaimValidationRule] = []
    claim_mappings: ClaimMappings = ClaimMappings()
    user_validation_rules: list[UserValidationRule] = []


class AnonymousCondition(Section, frozen=True, kw_only=True):
    path: str


class AnonymousConfig(Section, frozen=True, kw_only=True):
    enabled: bool
    conditions: list[AnonymousCondition] = []


class AuthenticationConfiguration(Document, frozen=True, kw_only=True):
    jwt: list[JwtAuthenticator] = []
    anonymous: AnonymousConfig | None = None


_SCHEMAS = {
    f"apiserver.config.k8s.io/{version}": AuthenticationConfiguration for version in ("v1", "v1beta1", "v1alpha1")
}


def load(path: Path, own_issuers: Sequence[str]) -> AuthenticationConfiguration:
    """Raises ConfigError, also for what does not validate."""
    found = read(path, "AuthenticationConfiguration", _SCHEMAS)
    refuse(str(path), validate(found, own_issuers))
    return found


def from_flags(flags: OidcFlags) -> AuthenticationConfiguration:
    """The one issuer that the `--oidc-*` flags describe. Raises OSError for its CA file."""
    if not flags.issuer_url:
        return AuthenticationConfiguration()
    prefix = flags.username_prefix
    if prefix == "-":
        prefix = ""
    elif not prefix and flags.username_claim != "email":
        prefix = f"{flags.issuer_url}#"
    groups = PrefixedClaimOrExpression()
    if flags.groups_claim:
        groups = PrefixedClaimOrExpression(claim=flags.groups_claim, prefix=flags.groups_prefix)
    return AuthenticationConfiguration(
        jwt=[
            JwtAuthenticator(
                issuer=Issuer(
                    url=flags.issuer_url,
                    audiences=[flags.client_id],
                    certificate_authority=flags.ca_file.read_text() if flags.ca_file else "",
                ),
                claim_validation_rules=[
                    ClaimValidationRule(claim=claim, required_value=value) for claim, value in flags.required_claims
                ],
                claim_mappings=ClaimMappings(
                    username=PrefixedClaimOrExpression(claim=flags.username_claim, prefix=prefix), groups=groups
                ),
            )
        ]
    )


def validate(config: AuthenticationConfiguration, own_issuers: Sequence[str]) -> Iterator[FieldError]:
    """Everything but the expressions, which `claims.py` compiles."""
    if len(config.jwt) > _MAX_AUTHENTICATORS:
        yield FieldError(
            "FieldValueTooMany", "jwt", f"Too many: {len(config.jwt)}: must have at most {_MAX_AUTHENTICATORS} items"
        )
        return
    urls: set[str] = set()
    discoveries: set[str] = set()
    for index, one in enumerate(config.jwt):
        at = f"jwt[{index}]"
        yield from _issuer(one.issuer, f"{at}.issuer", own_issuers)
        yield from _rules(one, at)
        yield from _mappings(one.claim_mappings, f"{at}.claimMappings")
        if one.issuer.url in urls:
            yield duplicate(f"{at}.issuer.url", one.issuer.url)
        urls.add(one.issuer.url)
        discovery = one.issuer.discovery_url
        if discovery and discovery in discoveries:
            yield duplicate(f"{at}.issuer.discoveryURL", discovery)
        discoveries.add(discovery)
    anonymous = config.anonymous
    if anonymous is not None and not anonymous.enabled and anonymous.conditions:
        why = "enabled should be set to true when conditions are defined"
        yield invalid("anonymous.conditions", [c.path for c in anonymous.conditions], why)


def _issuer(issuer: Issuer, at: str, own_issuers: Sequence[str]) -> Iterator[FieldError]:
    if not issuer.url:
        yield required(f"{at}.url")
    else:
        yield from _url(issuer.url, f"{at}.url", own_issuers)
    discovery = issuer.discovery_url
    if discovery:
        if issuer.url.rstrip("/") == discovery.rstrip("/"):
            yield invalid(f"{at}.discoveryURL", discovery, "discoveryURL must be different from URL")
        yield from _url(discovery, f"{at}.discoveryURL", ())
    yield from _audiences(issuer, at)
    if issuer.certificate_authority and "BEGIN CERTIFICATE" not in issuer.certificate_authority:
        why = "data does not contain any valid RSA or ECDSA certificates"
        yield invalid(f"{at}.certificateAuthority", "<omitted>", why)
    if issuer.egress_selector_type not in ("", "controlplane", "cluster"):
        why = "egress selector must be either controlplane or cluster"
        yield invalid(f"{at}.egressSelectorType", issuer.egress_selector_type, why)


def _url(url: str, at: str, disallowed: Sequence[str]) -> Iterator[FieldError]:
    if url in disallowed:
        yield invalid(at, url, f"URL must not overlap with disallowed issuers: [{' '.join(sorted(disallowed))}]")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        yield invalid(at, url, str(error))
        return
    if parts.scheme != "https":
        yield invalid(at, url, "URL scheme must be https")
    if "@" in parts.netloc:
        yield invalid(at, url, "URL must not contain a username or password")
    if parts.query:
        yield invalid(at, url, "URL must not contain a query")
    if parts.fragment:
        yield invalid(at, url, "URL must not contain a fragment")


def _audiences(issuer: Issuer, at: str) -> Iterator[FieldError]:
    if not issuer.audiences:
        yield required(f"{at}.audiences", f"at least one {at}.audiences is required")
        return
    seen: set[str] = set()
    for index, audience in enumerate(issuer.audiences):
        if not audience:
            yield required(f"{at}.audiences[{index}]")
        if audience in seen:
            yield duplicate(f"{at}.audiences[{index}]", audience)
        seen.add(audience)
    policy = issuer.audience_match_policy
    if len(issuer.audiences) > 1 and policy != "MatchAny":
        why = "audienceMatchPolicy must be MatchAny for multiple audiences"
        yield invalid(f"{at}.audienceMatchPolicy", policy, why)
    elif policy not in ("", "MatchAny"):
        why = "audienceMatchPolicy must be empty or MatchAny for single audience"
        yield invalid(f"{at}.audienceMatchPolicy", policy, why)


def _rules(one: JwtAuthenticator, at: str) -> Iterator[FieldError]:
    claims: set[str] = set()
    expressions: set[str] = set()
    for index, rule in enumerate(one.claim_validation_rules):
        here = f"{at}.claimValidationRules[{index}]"
        if rule.claim and rule.expression:
            yield invalid(here, rule.claim, _BOTH)
        elif rule.claim:
            if rule.message:
                yield invalid(f"{here}.message", rule.message, "may not be specified when claim is set")
            if rule.claim in claims:
                yield duplicate(f"{here}.claim", rule.claim)
            claims.add(rule.claim)
        elif rule.expression:
            if rule.required_value:
                why = "may not be specified when expression is set"
                yield invalid(f"{here}.requiredValue", rule.required_value, why)
            if rule.expression in expressions:
                yield duplicate(f"{here}.expression", rule.expression)
            expressions.add(rule.expression)
        else:
            yield required(here, "claim or expression is required")
    expressions.clear()
    for index, rule_of_user in enumerate(one.user_validation_rules):
        here = f"{at}.userValidationRules[{index}].expression"
        if not rule_of_user.expression:
            yield required(here, "expression is required")
        elif rule_of_user.expression in expressions:
            yield duplicate(here, rule_of_user.expression)
        expressions.add(rule_of_user.expression)


def _mappings(mappings: ClaimMappings, at: str) -> Iterator[FieldError]:
    for name, mapping, needed in (("username", mappings.username, True), ("groups", mappings.groups, False)):
        here = f"{at}.{name}"
        if mapping.claim and mapping.expression:
            yield invalid(here, "", _BOTH)
        elif not mapping.claim and not mapping.expression and needed:
            yield required(here, "claim or expression is required")
        elif mapping.prefix is not None and mapping.expression:
            yield invalid(f"{here}.prefix", mapping.prefix, "prefix can't be set when expression is set")
        elif mapping.prefix is not None and not mapping.claim:
            yield invalid(f"{here}.prefix", mapping.prefix, "non-nil prefix can't be set when claim is not set")
        elif mapping.claim and mapping.prefix is None:
            why = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
            yield required(f"{here}.prefix", why)
    if mappings.uid.claim and mappings.uid.expression:
        yield invalid(f"{at}.uid", "", _BOTH)
    keys: set[str] = set()
    for index, extra in enumerate(mappings.extra):
        here = f"{at}.extra[{index}]"
        yield from _extra_key(extra.key, f"{here}.key")
        if extra.key in keys:
            yield duplicate(f"{here}.key", extra.key)
        keys.add(extra.key)
        if not extra.value_expression:
            yield required(f"{here}.valueExpression")


def _extra_key(key: str, at: str) -> Iterator[FieldError]:
    from tiphys.api import names

    domain, slash, path = key.partition("/")
    if not key:
        yield required(at)
    elif not slash or not domain or not path:
        yield invalid(at, key, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        for why in names.dns_subdomain(domain):
            yield invalid(at, key, why)
    if key != key.lower():
        yield invalid(at, key, "must be lowercase")
    if domain in ("k8s.io", "kubernetes.io") or domain.endswith((".k8s.io", ".kubernetes.io")):
        yield invalid(at, key, "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use")
