"""Other API servers behind this one: APIServices say which group and version each of them answers for.

`registration` keeps an APIService for every group of our own, `availability` finds out whether the others answer,
`proxy` hands requests on to them, `merging` puts their discovery and OpenAPI beside ours.
Source: staging/src/k8s.io/kube-aggregator.
"""
