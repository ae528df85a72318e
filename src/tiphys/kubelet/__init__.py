"""The node's agent: keeps the containers of the pods bound to this node as the API asks, and reports what it sees.

`lifecycle` and `status` are pure: pod and runtime state in, actions and status out. `worker` drives them, one task per
pod; `cri` speaks to containerd; `volumes`, `probes`, `images`, `logs`, `node` and `server` do what their names say.
"""
