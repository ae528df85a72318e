"""The API metrics.k8s.io: what nodes and pods use now, read from the kubelets' resource metrics when someone asks."""
