"""The seam to a cloud provider."""
