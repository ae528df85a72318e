"""How further machines come into a cluster: tokens, discovery, certificates by request, their renewal."""
