"""The node's side of CSI: drivers register by socket, volumes are staged once per node and published once per pod."""
