"""The plugin's own fixtures, in place of those that the other integration tests share."""

from tiphys.testing.plugin import namespace

__all__ = ["namespace"]
