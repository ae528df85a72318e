"""Pods that the node has of its own: from files in a directory and from a URL, shown in the API by mirror pods."""
