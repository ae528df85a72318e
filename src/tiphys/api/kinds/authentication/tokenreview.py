"""DOC:kinds/authentication/tokenreview.py"""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto


class UserInfo(Struct):
    """DOC:authentication.UserInfo"""

    username: Annotated[str, proto(1)] = ""
    uid: Annotated[str, proto(2)] = ""
    groups: Annotated[list[str], proto(3, list_type="atomic")] = []
    extra: Annotated[dict[str, list[str]], proto(4)] = {}


class TokenReviewSpec(Struct):
    """DOC:authentication.TokenReviewSpec"""

    token: Annotated[str, proto(1)] = ""
    audiences: Annotated[list[str], proto(2, list_type="atomic")] = []


class TokenReviewStatus(Struct):
    """DOC:authentication.TokenReviewStatus"""

    authenticated: Annotated[bool, proto(1)] = False
    user: Annotated[UserInfo, proto(2)] = field(default_factory=UserInfo)
    audiences: Annotated[list[str], proto(4, list_type="atomic")] = []
    error: Annotated[str, proto(3)] = ""


class TokenReview(Resource):
    """DOC:authentication.TokenReview"""

    spec: Annotated[TokenReviewSpec, proto(2, required=True)] = field(default_factory=TokenReviewSpec)
    status: Annotated[TokenReviewStatus, proto(3)] = field(default_factory=TokenReviewStatus)


TOKENREVIEW = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="TokenReview",
    plural="tokenreviews",
    schema=TokenReview,
    namespaced=False,
    verbs=("create",),
)
