"""Images without a registry: a small builder for Dockerfiles, and the shelf of archives that every node imports."""
