"""The API server: authentication, authorization, admission, registry, watch cache, discovery, streaming.

The only package that imports `tiphys.store`."""
