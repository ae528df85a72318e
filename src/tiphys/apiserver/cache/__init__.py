"""The watch cache: served bytes of every live object, and the fan-out of changes to watchers."""
