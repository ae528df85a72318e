"""The files about names that a pod gets: /etc/hosts, resolv.conf, hostname. Pure.

Source: pkg/kubelet/kubelet_pods.go (hostsFileContent, GeneratePodHostNameAndDomain), pkg/kubelet/network/dns/dns.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import HostAlias

MANAGED_HEADER = "# Kubernetes-managed hosts file.\n"
MANAGED_HEADER_HOST = "# Kubernetes-managed hosts file (host network).\n"
MAX_HOSTNAME = 63
_MAX_NAMESERVERS = 3
_MAX_SEARCHES = 32
_MAX_SEARCH_CHARS = 2048


def hostname_of(pod: Pod) -> str:
    """What `hostname` says inside: the pod's name, cut to 63 characters, unless the spec names another."""
    if pod.spec.hostname_override is not None:
        return pod.spec.hostname_override
    if pod.spec.hostname:
        return pod.spec.hostname
    return pod.metadata.name[:MAX_HOSTNAME].rstrip("-.")


def domain_of(pod: Pod, cluster_domain: str) -> str:
    """The domain behind the host name, for pods with a subdomain; else empty."""
    if not pod.spec.subdomain or pod.spec.hostname_override is not None:
        return ""
    return f"{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}"


def hosts_file(pod: Pod, ips: Sequence[str], cluster_domain: str, node_hosts: str = "") -> str:
    """/etc/hosts of the pod; pods on the host's network get the node's file (`node_hosts`)."""
    if pod.spec.host_network:
        text = MANAGED_HEADER_HOST + node_hosts
    else:
        text = (
            MANAGED_HEADER + "127.0.0.1\tlocalhost\n"
            "::1\tlocalhost ip6-localhost ip6-loopback\n"
            "fe00::0\tip6-localnet\n"
            "fe00::0\tip6-mcastprefix\n"
            "fe00::1\tip6-allnodes\n"
            "fe00::2\tip6-allrouters\n"
        )
        name, domain = hostname_of(pod), domain_of(pod, cluster_domain)
        names = f"{name}.{domain}\t{name}" if domain else name
        text += "".join(f"{ip}\t{names}\n" for ip in ips)
    return text + _aliases(pod.spec.host_aliases)


def _aliases(aliases: Iterable[HostAlias]) -> str:
    lines = [f"{alias.ip}\t{chr(9).join(alias.hostnames)}\n" for alias in aliases]
    return "\n# Entries added by HostAliases.\n" + "".join(lines) if lines else ""


@dataclass(frozen=True, slots=True)
class Resolver:
    """The content of a resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> Resolver:
    """The last `search` and `options` lines count, all `nameserver` lines do."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith(("#", ";")):
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = [word if word == "." else word.removesuffix(".") for word in words[1:]]
        elif words[0] == "options":
            options = words[1:]
    return Resolver(tuple(servers), tuple(searches), tuple(options))


def pod_resolver(pod: Pod, node: Resolver, cluster_dns: Sequence[str], cluster_domain: str) -> Resolver:
    """What the pod's dnsPolicy and dnsConfig make of the node's resolver and the cluster's DNS."""
    policy = pod.spec.dns_policy or "ClusterFirst"
    if policy == "ClusterFirst" and pod.spec.host_network:
        policy = "Default"
    if policy == "None":
        base = Resolver()
    elif policy in ("ClusterFirst", "ClusterFirstWithHostNet") and cluster_dns:
        suffixes = (f"{pod.metadata.namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain)
        searches = tuple(dict.fromkeys((*suffixes, *node.searches)))
        base = Resolver(tuple(cluster_dns), searches, ("ndots:5",))
    else:
        base = node
    config = pod.spec.dns_config
    if config is not None:
        merged = {option.partition(":")[0]: option for option in base.options}
        for option in config.options:
            merged[option.name] = f"{option.name}:{option.value}" if option.value else option.name
        base = Resolver(
            tuple(dict.fromkeys((*base.servers, *config.nameservers))),
            tuple(dict.fromkeys((*base.searches, *config.searches))),
            tuple(merged.values()),
        )
    return Resolver(base.servers[:_MAX_NAMESERVERS], _fitting(base.searches), base.options)


def _fitting(searches: Sequence[str]) -> tuple[str, ...]:
    kept: list[str] = []
    for search in searches[:_MAX_SEARCHES]:
        if len(" ".join([*kept, search])) > _MAX_SEARCH_CHARS:
            break
        kept.append(search)
    return tuple(kept)
