"""Text to tree: tokens, grammar, macros."""
