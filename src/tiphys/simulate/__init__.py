"""Nodes that only pretend: they register, renew leases and report pods as running, against any API server.

`lifecycle` says what becomes of a pod (data and pure functions), `objects` what a node looks like, `nodes` runs it.
"""
