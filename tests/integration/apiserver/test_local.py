"""The in-process client: same rules as over HTTPS, and an informer that reads the cache itself."""

from __future__ import annotations

from typing import Any

import pytest
from api_harness import RunningServer

from tiphys.api.errors import Conflict, Forbidden, NotFound
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, SUBJECTACCESSREVIEW
from tiphys.api.kinds.authorization.accessreviews import ResourceAttributes, SubjectAccessReviewSpec
from tiphys.api.meta.schema import copy_of
from tiphys.apiserver.request import User

ROOT = User("root", groups=("system:masters",))


def test_verbs_and_informer(api: RunningServer, namespace: str) -> None:
    async def story() -> list[Any]:
        assert api.server is not None
        client = api.server.local_client(ROOT)
        informer = client.informer(CONFIGMAP, namespace, label_selector="l=x")
        seen: list[Any] = []
        informer.subscribe(lambda kind, old, new: seen.append((kind, (new or old).metadata.name)))
        made = await client.create(CONFIGMAP, new(CONFIGMAP, "a", namespace, data={"k": "1"}))
        assert informer.get("a", namespace) is None
        labelled = await client.patch(CONFIGMAP, "a", {"metadata": {"labels": {"l": "x"}}}, namespace)
        assert informer.get("a", namespace) is labelled
        stale = copy_of(made)
        stale.data = {"k": "2"}
        with pytest.raises(Conflict):
            await client.update(CONFIGMAP, stale)
        await client.delete(CONFIGMAP, "a", namespace)
        with pytest.raises(NotFound):
            await client.get(CONFIGMAP, "a", namespace)
        await client.close()
        return seen

    assert api.call(story()) == [("ADDED", "a"), ("DELETED", "a")]


def test_it_may_do_only_what_its_user_may(api: RunningServer, namespace: str) -> None:
    async def story() -> str:
        assert api.server is not None
        client = api.server.local_client(User("system:kube-scheduler", groups=("system:authenticated",)))
        review = new(SUBJECTACCESSREVIEW, "")
        review.spec = SubjectAccessReviewSpec(
            user="system:kube-scheduler", resource_attributes=ResourceAttributes(verb="create", resource="secrets")
        )
        assert not (await client.create(SUBJECTACCESSREVIEW, review)).status.allowed
        with pytest.raises(Forbidden) as caught:
            await client.create(CONFIGMAP, new(CONFIGMAP, "a", namespace))
        return str(caught.value)

    assert api.call(story()) == (
        'configmaps is forbidden: User "system:kube-scheduler" cannot create resource "configmaps" in API group "" '
        f'in the namespace "{namespace}"'
    )


def test_indexes_follow_changes(api: RunningServer, namespace: str) -> None:
    async def story() -> tuple[int, int]:
        assert api.server is not None
        client = api.server.local_client(ROOT)
        informer = client.informer(CONFIGMAP)
        informer.add_index("k", lambda obj: [obj.data.get("k", "")])
        await client.create(CONFIGMAP, new(CONFIGMAP, "i", namespace, data={"k": "indexed"}))
        before = len(list(informer.indexed("k", "indexed")))
        await client.patch(CONFIGMAP, "i", {"data": {"k": "moved"}}, namespace)
        return before, len(list(informer.indexed("k", "indexed")))

    assert api.call(story()) == (1, 0)
