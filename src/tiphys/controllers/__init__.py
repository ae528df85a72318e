"""The loops that make the real state the desired one: one file per controller, one runtime for all."""
