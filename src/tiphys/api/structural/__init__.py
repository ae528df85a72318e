"""Structural schemas: what a CustomResourceDefinition says of its objects, and what follows from it.

    schema      the schema, compiled from its JSON
    pruning     unknown fields and nulls that mean nothing are dropped
    defaulting  what was left out is filled in
    objectmeta  embedded objects' kind, version and metadata
    values      whether a value is what the schema allows (types, formats, limits, logic), in upstream's words
    formats     what `format: date-time` and its like accept
    lists       sets without repetitions, maps with unique keys
    correlation which old value a new one came from: for ratcheting and `oldSelf`
    rules       x-kubernetes-validations
    checks      whether the schema itself may be used: at the creation of a definition

Everything is pure and works on plain JSON values.
Source: staging/src/k8s.io/apiextensions-apiserver/pkg/apiserver/{schema,validation}.
"""
