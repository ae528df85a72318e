"""Reviews that ask whether someone may do something.

Source: staging/src/k8s.io/api/authorization/v1/types.go.
"""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.kinds.authorization import checks
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto
from tiphys.api.meta.types import FieldSelectorRequirement, LabelSelectorRequirement


class FieldSelectorAttributes(Struct):
    """The field selector of the request in question."""

    raw_selector: Annotated[str, proto(1)] = ""
    requirements: Annotated[list[FieldSelectorRequirement], proto(2, list_type="atomic")] = []


class LabelSelectorAttributes(Struct):
    """The label selector of the request in question."""

    raw_selector: Annotated[str, proto(1)] = ""
    requirements: Annotated[list[LabelSelectorRequirement], proto(2, list_type="atomic")] = []


class ResourceAttributes(Struct):
    """A verb on a resource."""

    namespace: Annotated[str, proto(1)] = ""
    verb: Annotated[str, proto(2)] = ""
    group: Annotated[str, proto(3)] = ""
    version: Annotated[str, proto(4)] = ""
    resource: Annotated[str, proto(5)] = ""
    subresource: Annotated[str, proto(6)] = ""
    name: Annotated[str, proto(7)] = ""
    field_selector: Annotated[FieldSelectorAttributes | None, proto(8)] = None
    label_selector: Annotated[LabelSelectorAttributes | None, proto(9)] = None


class NonResourceAttributes(Struct):
    """A verb on a path that is no resource."""

    path: Annotated[str, proto(1)] = ""
    verb: Annotated[str, proto(2)] = ""


class SubjectAccessReviewSpec(Struct):
    """The question: may this user do this?"""

    resource_attributes: Annotated[ResourceAttributes | None, proto(1)] = None
    non_resource_attributes: Annotated[NonResourceAttributes | None, proto(2)] = None
    user: Annotated[str, proto(3)] = ""
    groups: Annotated[list[str], proto(4, list_type="atomic")] = []
    extra: Annotated[dict[str, list[str]], proto(5)] = {}
    uid: Annotated[str, proto(6)] = ""


class SelfSubjectAccessReviewSpec(Struct):
    """The question: may I do this?"""

    resource_attributes: Annotated[ResourceAttributes | None, proto(1)] = None
    non_resource_attributes: Annotated[NonResourceAttributes | None, proto(2)] = None


class SubjectAccessReviewStatus(Struct):
    """The answer, with its reason."""

    allowed: Annotated[bool, proto(1, required=True)] = field(default_factory=bool)
    denied: Annotated[bool, proto(4)] = False
    reason: Annotated[str, proto(2)] = ""
    evaluation_error: Annotated[str, proto(3)] = ""


class SubjectAccessReview(Resource):
    """Asks whether a user may do something."""

    spec: Annotated[SubjectAccessReviewSpec, proto(2, required=True)] = field(default_factory=SubjectAccessReviewSpec)
    status: Annotated[SubjectAccessReviewStatus, proto(3)] = field(default_factory=SubjectAccessReviewStatus)


class LocalSubjectAccessReview(Resource):
    """Asks whether a user may do something in one namespace."""

    spec: Annotated[SubjectAccessReviewSpec, proto(2, required=True)] = field(default_factory=SubjectAccessReviewSpec)
    status: Annotated[SubjectAccessReviewStatus, proto(3)] = field(default_factory=SubjectAccessReviewStatus)


class SelfSubjectAccessReview(Resource):
    """Asks whether the caller may do something."""

    spec: Annotated[SelfSubjectAccessReviewSpec, proto(2, required=True)] = field(
        default_factory=SelfSubjectAccessReviewSpec
    )
    status: Annotated[SubjectAccessReviewStatus, proto(3)] = field(default_factory=SubjectAccessReviewStatus)


SUBJECTACCESSREVIEW = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="SubjectAccessReview",
    plural="subjectaccessreviews",
    schema=SubjectAccessReview,
    namespaced=False,
    verbs=("create",),
    validate=checks.subject_access_review,
)

LOCALSUBJECTACCESSREVIEW = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="LocalSubjectAccessReview",
    plural="localsubjectaccessreviews",
    schema=LocalSubjectAccessReview,
    verbs=("create",),
    validate=checks.local_subject_access_review,
)

SELFSUBJECTACCESSREVIEW = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="SelfSubjectAccessReview",
    plural="selfsubjectaccessreviews",
    schema=SelfSubjectAccessReview,
    namespaced=False,
    verbs=("create",),
    validate=checks.self_subject_access_review,
)
