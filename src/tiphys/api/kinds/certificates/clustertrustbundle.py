"""ClusterTrustBundle. Source: staging/src/k8s.io/api/certificates/v1beta1/types.go."""

from typing import Annotated

from msgspec.structs import replace

from tiphys.api import names
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.certificates import trust_validation
from tiphys.api.kinds.columns import NAME
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto


class ClusterTrustBundleSpec(Struct):
    """The certificates in PEM, and whose they are."""

    signer_name: Annotated[str, proto(1)] = ""
    trust_bundle: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class ClusterTrustBundle(Resource):
    """Certificates that pods may trust."""

    spec: Annotated[ClusterTrustBundleSpec, proto(2, required=True)] = field(default_factory=ClusterTrustBundleSpec)


COLUMNS: tuple[Column[ClusterTrustBundle], ...] = (
    NAME,
    Column("SignerName", "string", lambda obj: obj.spec.signer_name or "<none>", "Whose certificates these are."),
)

CLUSTERTRUSTBUNDLE = Kind(
    group="certificates.k8s.io",
    version="v1beta1",
    kind="ClusterTrustBundle",
    plural="clustertrustbundles",
    schema=ClusterTrustBundle,
    namespaced=False,
    allow_unconditional_update=False,
    name_rule=names.path_segment_name,
    validate=trust_validation.validate,
    columns=COLUMNS,
    fields={"spec.signerName": lambda obj: obj.spec.signer_name},
)

CLUSTERTRUSTBUNDLE_V1ALPHA1 = replace(CLUSTERTRUSTBUNDLE, version="v1alpha1", stored_as=CLUSTERTRUSTBUNDLE)
