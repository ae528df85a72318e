"""What an empty cluster begins with: namespaces, RBAC's default roles, the `kubernetes` Service, the published CA."""
