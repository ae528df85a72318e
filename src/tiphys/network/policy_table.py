"""The policies' table as nft commands: whole, or what leads from one content to the next. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tiphys.base.family import IPV4, IPV6, Family
from tiphys.network.policy_rules import TABLE, Content

_ELEMENTS_PER_COMMAND = 1000

_REPLIES = "ct state established,related accept"
_NEIGHBOURS = "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept"
"""What IPv6 has in the place of ARP: without it nobody finds anybody."""


def _base(family: Family) -> str:
    word, kind = family.nft, family.nft_type
    always = _REPLIES + (f"\n  {_NEIGHBOURS}" if family == IPV6 else "")
    return f"""table {word} {TABLE} {{
 map ingress {{ type {kind} : verdict; }}
 map egress {{ type {kind} : verdict; }}
 set selves {{ type {kind} . {kind}; }}
 chain forward-egress {{
  type filter hook forward priority 10; policy accept;
  {always}
  {word} saddr . {word} daddr @selves accept
  {word} saddr vmap @egress
 }}
 chain input-egress {{
  type filter hook input priority 10; policy accept;
  {always}
  {word} saddr vmap @egress
 }}
 chain forward-ingress {{
  type filter hook forward priority 11; policy accept;
  {always}
  {word} saddr . {word} daddr @selves accept
  {word} daddr vmap @ingress
 }}
}}
"""


def gone(family: Family = IPV4) -> str:
    """Takes the table away, whether it is there or not."""
    return f"table {family.nft} {TABLE}\ndelete table {family.nft} {TABLE}\n"


def whole(content: Content, family: Family = IPV4) -> str:
    """Makes the table hold exactly this, whatever it held: one transaction, no gap in it."""
    return gone(family) + _base(family) + commands(Content(), content, family)


def commands(old: Content, new: Content, family: Family = IPV4) -> str:
    """What leads from `old` to `new`, in an order that one transaction accepts; empty where they are equal."""
    where = f"{family.nft} {TABLE}"
    lines = [f"add set {where} {name} {{ {kind} }}" for name, kind in new.sets.items() if name not in old.sets]
    fresh = [name for name in new.chains if name not in old.chains]
    leaving = [name for name in old.chains if name not in new.chains]
    lines += [f"add chain {where} {name}" for name in fresh]
    lines += [f"add rule {where} {name} {rule}" for name in fresh for rule in new.chains[name]]
    for name, elements in new.elements.items():
        before = old.elements.get(name, frozenset())
        lines += _elements("delete", where, name, before - elements)
        lines += _elements("add", where, name, elements - before)
    lines += _changed(where, "ingress", old.ingress, new.ingress)
    lines += _changed(where, "egress", old.egress, new.egress)
    lines += _elements("delete", where, "selves", _selves(old) - _selves(new))
    lines += _elements("add", where, "selves", _selves(new) - _selves(old))
    lines += [f"flush chain {where} {name}" for name in leaving]
    lines += [f"delete chain {where} {name}" for name in leaving]
    lines += [f"delete set {where} {name}" for name in old.sets if name not in new.sets]
    return "\n".join(lines) + "\n" if lines else ""


def _selves(content: Content) -> set[str]:
    return {f"{ip} . {ip}" for ip in content.ingress.keys() | content.egress.keys()}


def _changed(where: str, name: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    yield from _elements("delete", where, name, (ip for ip, chain in old.items() if new.get(ip) != chain))
    yield from _elements(
        "add", where, name, (f"{ip} : goto {chain}" for ip, chain in new.items() if old.get(ip) != chain)
    )


def _elements(verb: str, where: str, name: str, elements: Iterable[str]) -> Iterator[str]:
    listed = sorted(elements)
    for start in range(0, len(listed), _ELEMENTS_PER_COMMAND):
        yield f"{verb} element {where} {name} {{ {', '.join(listed[start : start + _ELEMENTS_PER_COMMAND])} }}"
