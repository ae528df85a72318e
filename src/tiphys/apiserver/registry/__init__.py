"""Verb logic without HTTP: what create, get, list, update, patch, delete and watch mean for any kind."""
