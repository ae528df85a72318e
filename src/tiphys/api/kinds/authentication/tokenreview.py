"""TokenReview. Source: staging/src/k8s.io/api/authentication/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto


class UserInfo(Struct):
    """A user as the server sees him: name, groups, extras."""

    username: Annotated[str, proto(1)] = ""
    uid: Annotated[str, proto(2)] = ""
    groups: Annotated[list[str], proto(3, list_type="atomic")] = []
    extra: Annotated[dict[str, list[str]], proto(4)] = {}


class TokenReviewSpec(Struct):
    """The token in question, and who it should be for."""

    token: Annotated[str, proto(1, required=True)] = ""
    audiences: Annotated[list[str], proto(2, list_type="atomic")] = []


class TokenReviewStatus(Struct):
    """Whose the token is, if it is good."""

    authenticated: Annotated[bool, proto(1)] = False
    user: Annotated[UserInfo, proto(2)] = field(default_factory=UserInfo)
    audiences: Annotated[list[str], proto(4, list_type="atomic")] = []
    error: Annotated[str, proto(3)] = ""


class TokenReview(Resource):
    """Asks whose a bearer token is."""

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
