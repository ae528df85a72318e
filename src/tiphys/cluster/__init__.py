"""Makes clusters: certificates, processes, nodes in namespaces, images; up, down, join, status."""
