"""Pod, and the Binding that puts it on a node. Source: staging/src/k8s.io/api/core/v1/types.go."""

from typing import Annotated

from tiphys.api.kinds.core.pod.spec import PodSpec
from tiphys.api.kinds.core.pod.status import PodStatus
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import field, proto


class Pod(Resource):
    """Containers that run together on one node and share an address."""

    spec: Annotated[PodSpec, proto(2)] = field(default_factory=PodSpec)
    status: Annotated[PodStatus, proto(3)] = field(default_factory=PodStatus)


class Binding(Resource):
    """Puts a pod on a node; the body of `pods/binding`."""

    target: Annotated[ObjectReference, proto(2, required=True, atomic=True)] = field(default_factory=ObjectReference)
