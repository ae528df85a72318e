"""What this server has, told to clients: legacy and aggregated discovery, derived from the kinds."""
