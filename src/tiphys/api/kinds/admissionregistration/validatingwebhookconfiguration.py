"""ValidatingWebhookConfiguration. Source: staging/src/k8s.io/api/admissionregistration/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.admissionregistration import webhook_rules
from tiphys.api.kinds.admissionregistration.types import MatchCondition, RuleWithOperations, WebhookClientConfig
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, empty_list, field, proto
from tiphys.api.meta.types import LabelSelector


class ValidatingWebhook(Struct):
    """A server that is asked about requests, and may refuse them."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    client_config: Annotated[WebhookClientConfig, proto(2, required=True)] = field(default_factory=WebhookClientConfig)
    rules: Annotated[list[RuleWithOperations], proto(3, list_type="atomic")] = []
    failure_policy: Annotated[str | None, proto(4)] = None
    match_policy: Annotated[str | None, proto(9)] = None
    namespace_selector: Annotated[LabelSelector | None, proto(5, atomic=True)] = None
    object_selector: Annotated[LabelSelector | None, proto(10, atomic=True)] = None
    side_effects: Annotated[str | None, proto(6, required=True)] = None
    timeout_seconds: Annotated[Int32 | None, proto(7)] = None
    admission_review_versions: Annotated[list[str], proto(8, required=True, list_type="atomic")] = field(
        default_factory=empty_list
    )
    match_conditions: Annotated[
        list[MatchCondition], proto(11, merge_key="name", list_type="map", list_map_keys=("name",))
    ] = []


class ValidatingWebhookConfiguration(Resource):
    """Servers that may refuse requests."""

    webhooks: Annotated[
        list[ValidatingWebhook], proto(2, merge_key="name", list_type="map", list_map_keys=("name",))
    ] = []


VALIDATINGWEBHOOKCONFIGURATION = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingWebhookConfiguration",
    plural="validatingwebhookconfigurations",
    schema=ValidatingWebhookConfiguration,
    namespaced=False,
    categories=("api-extensions",),
    generation=True,
    allow_unconditional_update=False,
    default=webhook_rules.default,
    validate=webhook_rules.validate,
    columns=(NAME, Column("Webhooks", "integer", lambda obj: len(obj.webhooks), "How many webhooks it has."), AGE),
)
