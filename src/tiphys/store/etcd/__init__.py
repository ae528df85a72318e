"""The store on an etcd cluster, over its v3 API. Messages are declared here; nothing is generated."""
