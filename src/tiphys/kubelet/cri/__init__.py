"""The container runtime interface, v1: messages, the calls that use them, containerd's event stream."""
