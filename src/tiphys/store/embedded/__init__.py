"""The default store: an in-memory index of revisions over LMDB, with group commit."""
