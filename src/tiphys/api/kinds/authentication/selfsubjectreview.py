"""DOC:kinds/authentication/selfsubjectreview.py"""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.kinds.authentication.tokenreview import UserInfo
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto


class SelfSubjectReviewStatus(Struct):
    """DOC:authentication.SelfSubjectReviewStatus"""

    user_info: Annotated[UserInfo, proto(1)] = field(default_factory=UserInfo)


class SelfSubjectReview(Resource):
    """DOC:authentication.SelfSubjectReview"""

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
