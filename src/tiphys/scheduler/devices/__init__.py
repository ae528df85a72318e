"""Devices that pods claim: which there are, which are taken, and how claims are met."""
