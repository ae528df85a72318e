"""What Accept headers of real clients lead to."""

from __future__ import annotations

import pytest

from tiphys.api.errors import NotAcceptable
from tiphys.apiserver.verbs.negotiate import Media, parse_accept

KUBECTL = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", Media()),
        ("*/*", Media()),
        ("application/json, */*", Media()),
        (KUBECTL, Media("json", "Table", "v1")),
        ("application/vnd.kubernetes.protobuf,application/json", Media("protobuf")),
        ("application/json;q=0.5,application/yaml", Media("yaml")),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Media()),
        ("application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
         Media("protobuf", "PartialObjectMetadata")),
        ("application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json", Media()),
        ("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", Media()),
    ],
)  # fmt: skip
def test_clauses(accept: str, media: Media) -> None:
    assert parse_accept(accept) == media


def test_streams_have_no_yaml() -> None:
    assert parse_accept("application/json;stream=watch", True) == Media()
    with pytest.raises(NotAcceptable):
        parse_accept("application/yaml", True)


def test_nothing_fits() -> None:
    with pytest.raises(NotAcceptable, match="only the following media types are accepted: application/json"):
        parse_accept("text/html")


def test_what_is_only_answered_has_no_table() -> None:
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    assert parse_accept(f"{table},application/json", whole=True) == Media()
    with pytest.raises(NotAcceptable):
        parse_accept(table, whole=True)
