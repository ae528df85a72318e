"""Controllers of APIs that are served only when asked for."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from tiphys.api.kind import new
from tiphys.api.kinds import CLUSTERTRUSTBUNDLE, PODCERTIFICATEREQUEST
from tiphys.controllers import clustertrustbundle_publisher, podcertificaterequest_cleaner
from tiphys.controllers._runtime import ControllerManager
from tiphys.controllers._spec import Key
from tiphys.controllers.settings import ControllerSettings
from tiphys.testing.clock import settle

from .memory import Bench, MemoryClient
from .test_runtime import NamedEvents


def trust(name: str, signer: str = clustertrustbundle_publisher.SIGNER, text: str = "PEM") -> Any:
    made = new(CLUSTERTRUSTBUNDLE, name)
    made.spec.signer_name, made.spec.trust_bundle = signer, text
    return made


async def test_one_bundle_of_the_signer_has_the_servers_ca() -> None:
    b = Bench(clustertrustbundle_publisher.SPEC)
    for made in (trust("old", text="OLD"), trust("theirs", "example.com/signer")):
        b.client.put(CLUSTERTRUSTBUNDLE, made)
    key = Key("", clustertrustbundle_publisher.SIGNER)
    await b.settle(key)
    name = "kubernetes.io:kube-apiserver-serving:" + hashlib.sha256(b"PEM").hexdigest()[:24]
    assert [each.metadata.name for each in b.client.all(CLUSTERTRUSTBUNDLE)] == [name, "theirs"]
    b.client.edit(CLUSTERTRUSTBUNDLE, name, "", lambda each: setattr(each.spec, "trust_bundle", "MINE"))
    await b.settle(key)
    assert b.client.all(CLUSTERTRUSTBUNDLE)[0].spec.trust_bundle == "PEM"
    assert b.figure('clustertrustbundle_publisher_sync_total{code="200"}') > 0


async def test_requests_of_pods_for_certificates_go_after_a_quarter_of_an_hour() -> None:
    b = Bench(podcertificaterequest_cleaner.SPEC)
    b.client.put(PODCERTIFICATEREQUEST, new(PODCERTIFICATEREQUEST, "r", "default"))
    assert await b.apply(Key("default", "r")) == 900
    await b.clock.advance(900)
    await b.apply(Key("default", "r"))
    assert b.client.all(PODCERTIFICATEREQUEST) == []


async def test_controllers_of_previews_run_where_these_are_served() -> None:
    for resources, made in (([], 0), ([{"name": "clustertrustbundles"}], 1)):
        client = MemoryClient()
        client.answers["/apis/certificates.k8s.io/v1beta1"] = {"resources": resources}
        settings = ControllerSettings(controllers=(clustertrustbundle_publisher.SPEC.name,), root_ca="PEM")
        manager: Any = ControllerManager(client, client.clock, NamedEvents(), settings)  # type: ignore[arg-type]
        task = asyncio.create_task(manager.run())
        await settle(50)
        assert len(client.all(CLUSTERTRUSTBUNDLE)) == made
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
