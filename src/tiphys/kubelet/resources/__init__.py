"""What pods are given beyond shares of processor and memory: plugins' devices, claimed devices, whole processors."""
