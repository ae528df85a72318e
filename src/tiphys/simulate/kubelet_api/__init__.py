"""What simulated nodes answer as kubelets: logs, exec, attach, port-forward, stats and metrics, over HTTPS.

`answers` is the data that says what, `logs` and `usage` work it out (pure); `server` listens, `http` and `channels`
are the protocols, `sessions` plays commands and ports, `certificates` says who we are.
"""
