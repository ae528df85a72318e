"""Who did what when: events of requests, chosen by a policy, written to a file or sent to a service.

`policy` says what is recorded of a request, `trail` gathers it, `backends` keep it. Nothing here is on a request's way
while audit is off. Source: staging/src/k8s.io/apiserver/pkg/{audit,apis/audit}.
"""
