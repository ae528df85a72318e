"""Kinds that come and go while the server runs.

    served      the kinds that are served now, built in and custom, and who wants to know of changes
    versions    one stored object in every version of its kind: converted, pruned, with its defaults
    conversion  conversion by webhook
    deferred    watches whose events must be converted first
    publishing  routes, discovery and OpenAPI follow
    conditions  what a definition's status says: names, establishment, structure, approval (pure)
    controller  installs definitions, writes their conditions, deletes the objects of those that go

Objects of custom kinds go through the same registry as all others.
Source: staging/src/k8s.io/apiextensions-apiserver.
"""
