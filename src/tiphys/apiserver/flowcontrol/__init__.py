"""API priority and fairness: every request has a priority level, each level has its share of the server, and within a
level the flows (of users, of namespaces) take turns.

`matching` finds a request's schema and flow, `level` gives seats and keeps queues, `sharding` deals flows to queues,
`borrowing` moves unused shares, `estimates` says what a request takes, `controller` follows the objects.
Source: KEP-1040, staging/src/k8s.io/apiserver/pkg/util/flowcontrol.
"""
