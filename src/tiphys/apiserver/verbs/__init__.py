"""The verbs over HTTP: from query strings, bodies and media types to registry calls, and back to bytes."""
