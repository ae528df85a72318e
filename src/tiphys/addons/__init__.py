"""What a cluster offers beyond the core: metrics, dashboard, logging, ingress."""
