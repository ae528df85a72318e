"""TokenReview and SelfSubjectReview: who is this?

Source: pkg/registry/authentication.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.errors import BadRequest
from tiphys.api.kinds.authentication.selfsubjectreview import SelfSubjectReviewStatus
from tiphys.api.kinds.authentication.tokenreview import TokenReviewStatus, UserInfo
from tiphys.api.meta.types import ObjectMeta
from tiphys.apiserver.chain.tokens import InvalidToken
from tiphys.apiserver.request import User
from tiphys.apiserver.verbs.context import Context
from tiphys.base.clock import rfc3339

_INVALID = "invalid bearer token"


def user_info(user: User) -> UserInfo:
    return UserInfo(
        username=user.name, uid=user.uid, groups=list(user.groups),
        extra={key: list(values) for key, values in user.extra.items()},
    )  # fmt: skip


async def token(context: Context, _user: User, _namespace: str, review: Any) -> Any:
    """Bad tokens are an answer, not an error."""
    if not review.spec.token:
        raise BadRequest("token is required for TokenReview in authentication")
    audiences = tuple(review.spec.audiences) or context.authenticator.audiences
    try:
        user, common = await context.authenticator.review(review.spec.token, audiences)
    except InvalidToken as error:
        review.status = TokenReviewStatus(error=_shown(str(error)))
        return review
    review.status = TokenReviewStatus(authenticated=True, user=user_info(user), audiences=list(common))
    return review


def _shown(why: str) -> str:
    """Upstream puts what each authenticator said into one list."""
    return why if why == _INVALID else f"[{_INVALID}, {why.removeprefix('[').removesuffix(']')}]"


async def self_subject(context: Context, user: User, _namespace: str, review: Any) -> Any:
    review.metadata = ObjectMeta(creation_timestamp=rfc3339(context.clock.now()))
    review.status = SelfSubjectReviewStatus(user_info=user_info(user))
    return review
