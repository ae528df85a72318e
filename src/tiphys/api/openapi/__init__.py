"""OpenAPI documents, derived from the kinds: definitions from the schemas, paths from verbs and subresources.

    documents   what is served: `/openapi/v2` (JSON, protobuf), `/openapi/v3` and one document per group and version
    schemas     definitions, named as upstream (`io.k8s.api.apps.v1.Deployment`)
    paths       operations, with what kubectl and generated clients read of them
    gnostic     the v2 document as protobuf, for older kubectl

Nothing is built before it is asked for.

Source: staging/src/k8s.io/apiserver/pkg/endpoints/{installer,openapi}, k8s.io/kube-openapi.
"""

from tiphys.api.openapi.documents import Documents

__all__ = ["Documents"]
