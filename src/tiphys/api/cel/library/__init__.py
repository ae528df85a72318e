"""Functions, one file per group. `all` says which version of Kubernetes brought which.

Each file offers `OVERLOADS`; a function's row is its id (upstream's), its signature, what does it, and what it costs.
"""
