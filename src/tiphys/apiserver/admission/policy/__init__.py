"""Admission policies: `policies` (which there are, compiled, with their bindings), `matching` (which requests they are
about), `params` (their parameters), `expressions` (evaluation), and the two plugins `validating` and `mutating`.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy.
"""
