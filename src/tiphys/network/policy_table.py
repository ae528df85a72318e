"""The policies' table as nft commands: whole, or what leads from one content to the next. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tiphys.network.policy_rules import TABLE, Content

_ELEMENTS_PER_COMMAND = 1000

_REPLIES = "ct state established,related accept"
_BASE = f"""table ip {TABLE} {{
 map ingress {{ type ipv4_addr : verdict; }}
 map egress {{ type ipv4_addr : verdict; }}
 set selves {{ type ipv4_addr . ipv4_addr; }}
 chain forward-egress {{
  type filter hook forward priority 10; policy accept;
  {_REPLIES}
  ip saddr . ip daddr @selves accept
  ip saddr vmap @egress
 }}
 chain input-egress {{
  type filter hook input priority 10; policy accept;
  {_REPLIES}
  ip saddr vmap @egress
 }}
 chain forward-ingress {{
  type filter hook forward priority 11; policy accept;
  {_REPLIES}
  ip saddr . ip daddr @selves accept
  ip daddr vmap @ingress
 }}
}}
"""

GONE = f"table ip {TABLE}\ndelete table ip {TABLE}\n"
"""Takes the table away, whether it is there or not."""


def whole(content: Content) -> str:
    """Makes the table hold exactly this, whatever it held: one transaction, no gap in it."""
    return GONE + _BASE + commands(Content(), content)


def commands(old: Content, new: Content) -> str:
    """What leads from `old` to `new`, in an order that one transaction accepts; empty where they are equal."""
    lines = [f"add set ip {TABLE} {name} {{ {kind} }}" for name, kind in new.sets.items() if name not in old.sets]
    fresh = [name for name in new.chains if name not in old.chains]
    gone = [name for name in old.chains if name not in new.chains]
    lines += [f"add chain ip {TABLE} {name}" for name in fresh]
    lines += [f"add rule ip {TABLE} {name} {rule}" for name in fresh for rule in new.chains[name]]
    for name, elements in new.elements.items():
        before = old.elements.get(name, frozenset())
        lines += _elements("delete", name, before - elements)
        lines += _elements("add", name, elements - before)
    lines += _changed("ingress", old.ingress, new.ingress)
    lines += _changed("egress", old.egress, new.egress)
    lines += _elements("delete", "selves", _selves(old) - _selves(new))
    lines += _elements("add", "selves", _selves(new) - _selves(old))
    lines += [f"flush chain ip {TABLE} {name}" for name in gone]
    lines += [f"delete chain ip {TABLE} {name}" for name in gone]
    lines += [f"delete set ip {TABLE} {name}" for name in old.sets if name not in new.sets]
    return "\n".join(lines) + "\n" if lines else ""


def _selves(content: Content) -> set[str]:
    return {f"{ip} . {ip}" for ip in content.ingress.keys() | content.egress.keys()}


def _changed(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    yield from _elements("delete", name, (ip for ip, chain in old.items() if new.get(ip) != chain))
    yield from _elements("add", name, (f"{ip} : goto {chain}" for ip, chain in new.items() if old.get(ip) != chain))


def _elements(verb: str, name: str, elements: Iterable[str]) -> Iterator[str]:
    listed = sorted(elements)
    for start in range(0, len(listed), _ELEMENTS_PER_COMMAND):
        yield f"{verb} element ip {TABLE} {name} {{ {', '.join(listed[start : start + _ELEMENTS_PER_COMMAND])} }}"
