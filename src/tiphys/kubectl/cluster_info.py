"""`kubectl cluster-info` and `kubectl api-versions`."""

from __future__ import annotations

from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.selection import ALL_NAMESPACES


def run(context: Context) -> int:
    """Where the control plane is, and the services that say they belong to it; `dump`: everything there is to know."""
    if context.words == ["dump"]:
        from tiphys.kubectl.cluster_dump import dump

        return dump(context)
    if context.words:
        raise UsageError(f'unknown command "{context.words[0]}" for "cluster-info"')
    server = context.session.access.server
    print(f"Kubernetes control plane is running at {server}")
    query = {"labelSelector": "kubernetes.io/cluster-service=true"}
    for service in context.session.get("/api/v1/namespaces/kube-system/services", query).get("items") or ():
        meta = service["metadata"]
        name = (meta.get("labels") or {}).get("kubernetes.io/name") or meta["name"]
        ports = service["spec"].get("ports") or [{}]
        below = f"{meta['name']}:{ports[0]['name']}" if ports[0].get("name") else meta["name"]
        print(f"{name} is running at {server}/api/v1/namespaces/{meta['namespace']}/services/{below}/proxy")
    print("\nTo further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.")
    return 0


def run_versions(context: Context) -> int:
    """Every group and version, sorted."""
    versions = list(context.session.get("/api")["versions"])
    for group in context.session.get("/apis")["groups"]:
        versions += [version["groupVersion"] for version in group["versions"]]
    print("\n".join(sorted(versions)))
    return 0


COMMAND = Command(
    usage="[dump]",
    help="Show where the control plane is; dump: what a person needs who looks for a fault.",
    run=run,
    flags=(
        Flag("output-directory", "dump: write files here (-: to the output)"),
        Flag("namespaces", "dump: of these (kube-system and the current one)", kind="list"),
        ALL_NAMESPACES,
    ),
)
API_VERSIONS = Command(usage="", help="Print the versions of the API, as group/version.", run=run_versions)
