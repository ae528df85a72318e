"""The command line for the API: one file per command."""
