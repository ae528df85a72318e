"""DOC:kinds/core/pod/schema.py"""

from typing import Annotated

from tiphys.api.kinds.core.pod.spec import PodSpec
from tiphys.api.kinds.core.pod.status import PodStatus
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import field, proto


class Pod(Resource):
    """DOC:core.Pod"""

    spec: Annotated[PodSpec, proto(2)] = field(default_factory=PodSpec)
    status: Annotated[PodStatus, proto(3)] = field(default_factory=PodStatus)


class Binding(Resource):
    """DOC:core.Binding"""

    target: Annotated[ObjectReference, proto(2, required=True, atomic=True)] = field(default_factory=ObjectReference)
