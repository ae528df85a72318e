"""Encryption at rest: what stands between the registry and the store, so that disks and back-ups hold no secrets.

`config` reads which resources are encrypted how, `providers` are the ciphers, `kms` a key service's, `store` is the
layer itself. Source: staging/src/k8s.io/apiserver/pkg/storage/value.
"""
