"""Pod Security Standards: `checks` (what each forbids), `policy` (levels and versions), `plugin` (when they apply)."""
