"""Get and list: versions, pages, and what happens when history is gone."""

import asyncio
import json

import pytest

from tiphys.api.errors import BadRequest, Expired, Invalid, NotFound, Timeout
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, EVENTS_EVENT, NAMESPACE
from tiphys.api.meta.types import DeleteOptions
from tiphys.apiserver.registry import continuing, freshness
from tiphys.apiserver.registry.interface import ListOptions, Page


@pytest.fixture
async def filled(registry, opts):
    for name in "abcdef":
        made = new(CONFIGMAP, name, data={"x": "1"})
        made.metadata.labels = {"even": str("abcdef".index(name) % 2 == 0)}
        await registry.create(CONFIGMAP, "default", made, opts)
    return registry


async def names(registry, options: ListOptions, namespace: str = "default") -> tuple[list[str], Page]:
    page = await registry.list(CONFIGMAP, namespace, options)
    return [entry.name for entry in page.entries], page


async def test_a_list_is_one_document(filled) -> None:
    _, page = await names(filled, ListOptions())
    document = json.loads(b",".join(page.json(CONFIGMAP)))
    assert (document["kind"], document["apiVersion"]) == ("ConfigMapList", "v1")
    assert document["metadata"] == {"resourceVersion": str(filled.revision)}
    assert [item["metadata"]["name"] for item in document["items"]] == list("abcdef")


async def test_pages_show_one_moment(filled, opts) -> None:
    found, page = await names(filled, ListOptions(limit=2))
    assert (found, page.remaining) == (["a", "b"], 4)
    moment = page.revision
    await filled.delete(CONFIGMAP, "default", "c", DeleteOptions(), opts)
    await filled.create(CONFIGMAP, "default", new(CONFIGMAP, "bb"), opts)
    found, page = await names(filled, ListOptions(limit=2, continue_token=page.continue_token))
    assert (found, page.remaining, page.revision) == (["c", "d"], 2, moment)
    assert page.entries[0].obj.data == {"x": "1"}
    found, page = await names(filled, ListOptions(limit=2, continue_token=page.continue_token))
    assert (found, page.remaining, page.continue_token) == (["e", "f"], None, "")


async def test_pages_without_a_change_come_from_memory(filled, opts, monkeypatch) -> None:
    _, page = await names(filled, ListOptions(limit=4))
    await filled.create(NAMESPACE, "", new(NAMESPACE, "elsewhere"), opts)
    monkeypatch.setattr(filled._store, "range", None)
    found, page = await names(filled, ListOptions(limit=1, continue_token=page.continue_token))
    assert (found, page.remaining) == (["e"], 1)
    found, page = await names(filled, ListOptions(continue_token=page.continue_token))
    assert found == ["f"]


async def test_pages_of_a_selection_do_not_tell_how_much_is_left(filled, opts) -> None:
    selected = ListOptions(limit=2, label_selector="even=True")
    found, page = await names(filled, selected)
    assert (found, page.remaining) == (["a", "c"], None)
    await filled.delete(CONFIGMAP, "default", "f", DeleteOptions(), opts)
    more = ListOptions(limit=2, label_selector="even=True", continue_token=page.continue_token)
    found, page = await names(filled, more)
    assert (found, page.continue_token) == (["e"], "")


async def test_a_token_outlives_history_inconsistently(filled, store, opts) -> None:
    _, page = await names(filled, ListOptions(limit=2))
    await filled.delete(CONFIGMAP, "default", "c", DeleteOptions(), opts)
    await store.compact(store.revision)
    with pytest.raises(Expired, match=r"The provided continue parameter is too old") as refused:
        await names(filled, ListOptions(limit=2, continue_token=page.continue_token))
    fresh = refused.value.status().metadata.continue_
    found, page = await names(filled, ListOptions(limit=2, continue_token=fresh))
    assert (found, page.revision) == (["d", "e"], filled.revision)
    assert (await names(filled, ListOptions(continue_token=page.continue_token)))[0] == ["f"]


async def test_a_token_expires_with_history_though_nothing_of_its_kind_changed(filled, store, opts) -> None:
    _, page = await names(filled, ListOptions(limit=2))
    await filled.create(NAMESPACE, "", new(NAMESPACE, "elsewhere"), opts)
    await store.compact(store.revision)
    with pytest.raises(Expired, match=r"The provided continue parameter is too old"):
        await names(filled, ListOptions(limit=2, continue_token=page.continue_token))


async def test_exact_versions(filled, store, opts) -> None:
    moment = filled.revision
    await filled.delete(CONFIGMAP, "default", "a", DeleteOptions(), opts)
    exact = ListOptions(resource_version=str(moment), resource_version_match="Exact")
    found, page = await names(filled, exact)
    assert (found, page.revision) == (list("abcdef"), moment)
    legacy = ListOptions(resource_version=str(moment), limit=1)
    assert (await names(filled, legacy))[0] == ["a"]
    newer = ListOptions(resource_version=str(moment), resource_version_match="NotOlderThan")
    assert (await names(filled, newer))[0] == list("bcdef")
    await store.compact(store.revision)
    with pytest.raises(Expired, match=r"The resourceVersion for the provided list is too old"):
        await names(filled, exact)


async def test_a_version_of_the_future_is_waited_for_and_refused(filled, opts, monkeypatch) -> None:
    later = asyncio.create_task(filled.get(CONFIGMAP, "default", "a", str(filled.revision + 1)))
    await asyncio.sleep(0)
    await filled.delete(CONFIGMAP, "default", "f", DeleteOptions(), opts)
    assert (await later).name == "a"
    monkeypatch.setattr(freshness, "TIMEOUT_S", 0.01)
    with pytest.raises(Timeout, match=rf"Too large resource version: 900, current: {filled.revision}"):
        await filled.get(CONFIGMAP, "default", "a", "900")


async def test_zero_means_from_memory_without_limit(filled) -> None:
    assert (await names(filled, ListOptions(resource_version="0", limit=2)))[0] == list("abcdef")


async def test_all_namespaces_and_one_name(filled, opts) -> None:
    await filled.create(CONFIGMAP, "other", new(CONFIGMAP, "a"), opts)
    assert len((await names(filled, ListOptions(), ""))[0]) == 7
    _, page = await names(filled, ListOptions(field_selector="metadata.name=a"), "")
    assert [entry.namespace for entry in page.entries] == ["default", "other"]
    assert (await names(filled, ListOptions(field_selector="metadata.name=a")))[0] == ["a"]
    assert (await names(filled, ListOptions(field_selector="metadata.name=z")))[0] == []
    with pytest.raises(NotFound, match=r'events.events.k8s.io "x" not found'):
        await filled.get(EVENTS_EVENT, "default", "x")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (ListOptions(resource_version_match="Exact"), Invalid, "forbidden unless resourceVersion is provided"),
        (ListOptions(resource_version_match="Exact", resource_version="0"), Invalid, '"exact" is forbidden'),
        (ListOptions(resource_version_match="No", resource_version="1"), Invalid, 'Unsupported value: "No"'),
        (ListOptions(continue_token="!"), BadRequest, "invalid continue token: continue key is not valid"),
        (ListOptions(continue_token="e30", resource_version="5"), BadRequest, "specifying resource version"),
        (ListOptions(resource_version="-1"), BadRequest, "invalid syntax"),
        (ListOptions(resource_version=str(2**64)), BadRequest, "value out of range"),
    ],
)
async def test_bad_options_are_refused(registry, options, error, message) -> None:
    with pytest.raises(error, match=message):
        await registry.list(CONFIGMAP, "default", options)


def test_a_token_cannot_climb_out_of_its_prefix() -> None:
    token = continuing.encode(b"/registry/configmaps/default/../../secrets/a", b"/registry/configmaps/default/", 5)
    with pytest.raises(BadRequest, match=r"continue key is not valid"):
        continuing.decode(token, b"/registry/configmaps/default/")
    good = continuing.encode(b"/registry/configmaps/default/a\0", b"/registry/configmaps/default/", 5)
    assert continuing.decode(good, b"/registry/configmaps/default/") == (b"/registry/configmaps/default/a\0", 5)


@pytest.mark.parametrize("name", [".", "..", "a/b", "50%"])
async def test_names_that_cannot_be_are_refused(filled, opts, name: str) -> None:
    for ask in (
        filled.get(CONFIGMAP, "default", name),
        filled.update(CONFIGMAP, "default", name, lambda old: old, opts),
        filled.delete(CONFIGMAP, "default", name, DeleteOptions(), opts),
    ):
        with pytest.raises(BadRequest, match=f'Name parameter invalid: "{name}": may not '):
            await ask
