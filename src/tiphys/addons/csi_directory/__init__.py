"""A CSI driver for storage of the node itself: each volume a file with a size that the kernel enforces.

A volume is a sparse image in the driver's directory, with a file system inside or used as a block device. It stays on
the node where it was made (topology), grows while it is mounted, can be cloned and limited in sum.
"""
