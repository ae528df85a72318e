import pytest

from tiphys.base.jsonpath import PathError, render

PODS = {
    "items": [
        {
            "metadata": {"name": "a", "labels": {"x.y/z": "1"}},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "1.2.3.4"}, {"type": "Hostname", "address": "h"}]
            },
        },
        {"metadata": {"name": "b"}, "restarts": 3},
    ],
    "ready": True,
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.items[*].metadata.name}", "a b"),
        (".items[0].metadata.name", "a"),
        ("items[1].metadata.name", "b"),
        ("{.items[0].status.addresses[?(@.type=='InternalIP')].address}", "1.2.3.4"),
        ('{range .items[*]}{.metadata.name}{"\\n"}{end}', "a\nb\n"),
        ("{range .items[*]}{.metadata.name}={.restarts};{end}", "a=;b=3;"),
        ("{.items[0].metadata.labels.x\\.y/z}", "1"),
        ("{.items[0].metadata.labels['x\\.y/z']}", "1"),
        ("{..name}", "a b"),
        ("{.items[-1:].metadata.name}", "b"),
        ("{.items[0:1].metadata.name}", "a"),
        ("{.items[?(@.restarts>2)].metadata.name}", "b"),
        ("{.items[?(@.restarts)].metadata.name}", "b"),
        ("ready: {.ready}, missing: {.no.such}", "ready: true, missing: "),
        ("{.items[1].metadata}", '{"name":"b"}'),
    ],
)
def test_renders_as_kubectl_does(template: str, text: str) -> None:
    assert render(template, PODS) == text


@pytest.mark.parametrize("template", ["{.items[9]}", "{.items[0", "{range .items[*]}", "{end}", "{.items[x]}"])
def test_refuses_what_makes_no_sense(template: str) -> None:
    with pytest.raises(PathError):
        render(template, PODS)
