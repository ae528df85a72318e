"""The only code that keeps bytes: an interface with etcd's semantics and what implements it."""
