"""The cluster's side of a cloud: load balancers, machines and routes, behind an interface that plugins implement."""
