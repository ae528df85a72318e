"""Connections that last: to kubelets, through which logs, exec, attach and port-forward travel."""
