"""From a patch to an object."""

import pytest

from tiphys.api import patch
from tiphys.api.errors import Invalid
from tiphys.api.kinds import POD

_CURRENT = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}, "spec": {"containers": []}}


def test_the_patched_object_is_typed() -> None:
    made, warnings = patch.patched(POD, _CURRENT, "merge", {"spec": {"nodeName": "n"}})
    assert (made.spec.node_name, warnings) == ("n", [])


def test_unknown_fields_warn_or_refuse() -> None:
    body = {"spec": {"foo": 1}}
    assert patch.patched(POD, _CURRENT, "merge", body)[1] == ['unknown field "spec.foo"']
    assert patch.patched(POD, _CURRENT, "merge", body, "Ignore")[1] == []
    with pytest.raises(Invalid) as error:
        patch.patched(POD, _CURRENT, "strategic", body, "Strict")
    assert error.value.message.endswith(': strict decoding error: unknown field "spec.foo"')
    assert error.value.causes[0].field == "patch"


def test_a_wrong_type_is_invalid() -> None:
    operation = {"op": "add", "path": "/spec/nodeName", "value": 5}
    with pytest.raises(Invalid, match=r"json: cannot unmarshal number into Go struct field PodSpec.spec.nodeName"):
        patch.patched(POD, _CURRENT, "json", [operation])
    with pytest.raises(Invalid, match="of type int64"):
        patch.patched(POD, _CURRENT, "merge", {"metadata": {"generation": 2**70}})
