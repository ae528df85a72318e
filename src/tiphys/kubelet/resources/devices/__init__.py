"""Devices of device plugins (gRPC v1beta1): who has which, and the plugins themselves."""
