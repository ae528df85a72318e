"""SelfSubjectRulesReview. Source: staging/src/k8s.io/api/authorization/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, empty_list, field, proto


class SelfSubjectRulesReviewSpec(Struct):
    """The namespace in question."""

    namespace: Annotated[str, proto(1)] = ""


class NonResourceRule(Struct):
    """Verbs on paths that the caller has."""

    verbs: Annotated[list[str], proto(1, required=True, list_type="atomic")] = field(default_factory=empty_list)
    non_resource_urls: Annotated[list[str], proto(2, list_type="atomic")] = []


class ResourceRule(Struct):
    """Verbs on resources that the caller has."""

    verbs: Annotated[list[str], proto(1, required=True, list_type="atomic")] = field(default_factory=empty_list)
    api_groups: Annotated[list[str], proto(2, list_type="atomic")] = []
    resources: Annotated[list[str], proto(3, list_type="atomic")] = []
    resource_names: Annotated[list[str], proto(4, list_type="atomic")] = []


class SubjectRulesReviewStatus(Struct):
    """All that the caller may do, as far as it can be listed."""

    resource_rules: Annotated[list[ResourceRule], proto(1, required=True, list_type="atomic")] = field(
        default_factory=empty_list
    )
    non_resource_rules: Annotated[list[NonResourceRule], proto(2, required=True, list_type="atomic")] = field(
        default_factory=empty_list
    )
    incomplete: Annotated[bool, proto(3, required=True)] = field(default_factory=bool)
    evaluation_error: Annotated[str, proto(4)] = ""


class SelfSubjectRulesReview(Resource):
    """Asks what the caller may do in a namespace."""

    spec: Annotated[SelfSubjectRulesReviewSpec, proto(2, required=True)] = field(
        default_factory=SelfSubjectRulesReviewSpec
    )
    status: Annotated[SubjectRulesReviewStatus, proto(3)] = field(default_factory=SubjectRulesReviewStatus)


SELFSUBJECTRULESREVIEW = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="SelfSubjectRulesReview",
    plural="selfsubjectrulesreviews",
    schema=SelfSubjectRulesReview,
    namespaced=False,
    verbs=("create",),
)
