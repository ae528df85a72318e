"""SPDY/3.1 as Kubernetes speaks it: many byte streams over one upgraded connection (exec, attach, port-forward).

`frames` is the bytes, `connection` the client's end. Only what client-go and the runtimes use is here: no push, no
settings, no flow control. Source: the SPDY protocol drafts 3 and 3.1; k8s.io/streaming pkg/httpstream/spdy.
"""
