"""Pods of a node are found without looking at all pods, and are always those that looking at all would find."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.codec import encode
from tiphys.api.kinds import POD
from tiphys.apiserver.cache.cache import KindCache
from tiphys.apiserver.cache.entry import Entry, served
from tiphys.apiserver.cache.selection import select
from tiphys.testing import builders as b

NAMES, NODES = [("a", "p"), ("a", "q"), ("b", "p"), ("c", "r")], ["", "n1", "n2"]


def entry(cache: KindCache, namespace: str, name: str, node: str, revision: int) -> Entry:
    data = encode(b.pod(name, namespace, node=node))
    return Entry(POD, cache.key(namespace, name), namespace, name, revision, served(data, revision))


def found(cache: KindCache, namespace: str, node: str) -> list[bytes]:
    selection = select(POD, namespace, "", f"spec.nodeName={node}")
    return [each.key for each in cache.candidates(selection) if selection.matches(each)]


def sought(cache: KindCache, namespace: str, node: str) -> list[bytes]:
    return [each.key for each in cache.entries(namespace) if each.obj.spec.node_name == node]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([*NODES, None]), st.booleans())))
def test_whatever_comes_changes_and_goes(changes: list[tuple[tuple[str, str], str | None, bool]]) -> None:
    cache = KindCache(POD, lambda: 0)
    for revision, ((namespace, name), node, asked) in enumerate(changes, 1):
        new = None if node is None else entry(cache, namespace, name, node, revision)
        cache.apply(cache.key(namespace, name), revision, new, 0.0)
        if asked:
            for where in ("", "a", "d"):
                for value in NODES:
                    assert found(cache, where, value) == sought(cache, where, value)


def test_only_the_node_s_pods_are_looked_at() -> None:
    cache = KindCache(POD, lambda: 0)
    for number in range(10):
        one = entry(cache, "a", f"p{number}", f"n{number % 5}", number + 1)
        cache.apply(one.key, number + 1, one, 0.0)
    selection = select(POD, "", "", "spec.nodeName=n3,status.phase=Running")
    assert [each.name for each in cache.candidates(selection)] == ["p3", "p8"]
    assert [each.name for each in cache.candidates(selection, cache.key("a", "p4"))] == ["p8"]
