"""What pods and the node use: read from cgroups and file systems when someone asks, shown as summary and as metrics."""
