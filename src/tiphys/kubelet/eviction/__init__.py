"""What happens when the node runs low on memory, disk, inodes or processes: conditions, collection, eviction."""
