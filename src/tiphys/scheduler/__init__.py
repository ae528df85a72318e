"""Chooses a node for each pod, with columns instead of objects.

`scheduler.Scheduler` talks to the API, `engine.Engine` decides without I/O; see docs/scheduler.md. Importing this
package, `scheduler` or `settings` does not import numpy.
"""
