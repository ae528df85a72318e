"""Who may do what: RBAC, the Node authorizer, and the two together."""
