"""Paths that are no resources: version, health, metrics, OpenAPI, OpenID discovery."""
