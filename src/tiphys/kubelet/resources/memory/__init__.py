"""Memory and huge pages of certain NUMA nodes for Guaranteed pods (the memory manager's static policy)."""
