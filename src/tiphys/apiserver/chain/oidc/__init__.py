"""Identity tokens of outside issuers (OpenID Connect): configuration, keys, claims to users."""
