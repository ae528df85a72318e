"""What the kubelet asks of systemd, where it runs: slices for pods, and that the machine waits for them at its end."""
