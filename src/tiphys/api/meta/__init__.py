"""What all objects share: how a type is declared, metadata, lists, Status."""
