"""SelfSubjectReview. Source: staging/src/k8s.io/api/authentication/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.kinds.authentication.tokenreview import UserInfo
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto


class SelfSubjectReviewStatus(Struct):
    """Who the caller is to the server."""

    user_info: Annotated[UserInfo, proto(1)] = field(default_factory=UserInfo)


class SelfSubjectReview(Resource):
    """Asks who the caller is."""

    status: Annotated[SelfSubjectReviewStatus, proto(2)] = field(default_factory=SelfSubjectReviewStatus)


SELFSUBJECTREVIEW = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="SelfSubjectReview",
    plural="selfsubjectreviews",
    schema=SelfSubjectReview,
    namespaced=False,
    verbs=("create",),
)
