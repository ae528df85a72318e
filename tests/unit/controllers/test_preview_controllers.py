"""Controllers of APIs that are served only when asked for."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from tiphys.api.errors import Conflict
from tiphys.api.kind import new
from tiphys.api.kinds import CLUSTERTRUSTBUNDLE, CONFIGMAP, PODCERTIFICATEREQUEST, STORAGEVERSIONMIGRATION
from tiphys.controllers import clustertrustbundle_publisher, podcertificaterequest_cleaner, storage_version_migrator
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


def migration(resource: str, group: str = "") -> Any:
    made = new(STORAGEVERSIONMIGRATION, "m")
    made.spec.resource.group, made.spec.resource.resource = group, resource
    return made


def states(b: Bench) -> dict[str, str]:
    (found,) = b.client.all(STORAGEVERSIONMIGRATION)
    return {each.type: each.status for each in found.status.conditions}


async def test_every_older_object_is_written_again_once() -> None:
    b = Bench(storage_version_migrator.SPEC)
    for name in ("a", "b", "c"):
        b.client.put(CONFIGMAP, new(CONFIGMAP, name, "default"))
    b.client.put(STORAGEVERSIONMIGRATION, migration("configmaps"))
    key = Key("", "m")
    await b.apply(key)
    assert states(b) == {"Running": "True"}
    b.client.edit(CONFIGMAP, "b", "default", lambda each: each.data.update(changed="since"))

    def refuse(verb: str, kind: Any, name: str) -> Any:
        return Conflict("changed") if (verb, name) == ("patch", "c") else None

    b.client.refuse = refuse
    await b.apply(key)
    assert [name for verb, _, name in b.client.calls if verb == "patch"] == ["a", "c"]
    assert states(b) == {"Running": "False", "Succeeded": "True"}
    assert b.plan(key) == []


async def test_a_resource_that_does_not_come_fails_after_a_minute() -> None:
    b = Bench(storage_version_migrator.SPEC)
    b.client.put(STORAGEVERSIONMIGRATION, migration("things", "x.example"))
    assert await b.apply(Key("", "m")) == 5
    await b.clock.advance(61)
    await b.apply(Key("", "m"))
    assert states(b) == {"Failed": "True"}
