"""DOC:kinds/authorization/selfsubjectrulesreview.py"""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, empty_list, field, proto


class SelfSubjectRulesReviewSpec(Struct):
    """DOC:authorization.SelfSubjectRulesReviewSpec"""

    namespace: Annotated[str, proto(1)] = ""


class NonResourceRule(Struct):
    """DOC:authorization.NonResourceRule"""

    verbs: Annotated[list[str], proto(1, required=True, list_type="atomic")] = field(default_factory=empty_list)
    non_resource_urls: Annotated[list[str], proto(2, list_type="atomic")] = []


class ResourceRule(Struct):
    """DOC:authorization.ResourceRule"""

    verbs: Annotated[list[str], proto(1, required=True, list_type="atomic")] = field(default_factory=empty_list)
    api_groups: Annotated[list[str], proto(2, list_type="atomic")] = []
    resources: Annotated[list[str], proto(3, list_type="atomic")] = []
    resource_names: Annotated[list[str], proto(4, list_type="atomic")] = []


class SubjectRulesReviewStatus(Struct):
    """DOC:authorization.SubjectRulesReviewStatus"""

    resource_rules: Annotated[list[ResourceRule], proto(1, required=True, list_type="atomic")] = field(
        default_factory=empty_list
    )
    non_resource_rules: Annotated[list[NonResourceRule], proto(2, required=True, list_type="atomic")] = field(
        default_factory=empty_list
    )
    incomplete: Annotated[bool, proto(3, required=True)] = field(default_factory=bool)
    evaluation_error: Annotated[str, proto(4)] = ""


class SelfSubjectRulesReview(Resource):
    """DOC:authorization.SelfSubjectRulesReview"""

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
