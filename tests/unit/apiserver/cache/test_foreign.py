"""Values as upstream stores them."""

import pytest

from tiphys.api import codec, protobuf
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP
from tiphys.apiserver.cache.cache import KindCache
from tiphys.store.interface import Record


def test_a_protobuf_value_is_read_as_its_json() -> None:
    made = new(CONFIGMAP, "a", "b")
    made.data = {"k": "v"}
    record = Record(b"/registry/configmaps/b/a", protobuf.wrap(made), 7, 7, 1)
    entry = KindCache(CONFIGMAP, lambda: 7).entry_of(record)
    assert (entry.namespace, entry.name, entry.obj.data) == ("b", "a", {"k": "v"})
    assert codec.decode(CONFIGMAP.schema, entry.data).metadata.resource_version == "7"


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unexpected EOF|truncated|wire"):
        KindCache(CONFIGMAP, lambda: 7).entry_of(Record(b"/registry/configmaps/b/a", b"k8s\x00\x0a\xff", 7, 7, 1))
