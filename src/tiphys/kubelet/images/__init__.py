"""Images: written locally as OCI archives, looked up and pulled through the runtime."""
