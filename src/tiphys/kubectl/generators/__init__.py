"""Objects made from a few words: what `kubectl create KIND NAME` has besides -f. One file per area.

Each generator takes the command's context and the words after the kind, and returns the object (or text to print).
Source: k8s.io/kubectl pkg/cmd/create.
"""

from __future__ import annotations

from tiphys.kubectl.flags import Flag
from tiphys.kubectl.generators import access, data, network, policy, workloads
from tiphys.kubectl.generators.common import Generator, unique

GENERATORS: dict[str, Generator] = {
    **access.GENERATORS, **data.GENERATORS, **network.GENERATORS, **policy.GENERATORS, **workloads.GENERATORS,
}  # fmt: skip
FLAGS: tuple[Flag, ...] = unique(access.FLAGS, data.FLAGS, network.FLAGS, policy.FLAGS, workloads.FLAGS)
