"""The pod network of a node: CNI configuration, bridge, routes."""
