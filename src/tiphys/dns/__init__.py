"""Cluster DNS: records from Services and EndpointSlices, answered by each node."""
