from tiphys.kubectl.describe.writer import Writer, aligned, selector_text


def test_columns_align_over_neighbouring_lines_only() -> None:
    lines = [
        "Name:\tweb",
        "Namespace:\tdefault",
        "Labels:\ta=b",
        "\tc=d",
        "Conditions:",
        "  Type\tStatus",
        "  Ready\tTrue",
    ]
    assert aligned(lines).splitlines() == [
        "Name:       web",
        "Namespace:  default",
        "Labels:     a=b",
        "            c=d",
        "Conditions:",
        "  Type   Status",
        "  Ready  True",
    ]


def test_bookkeeping_is_left_out_of_annotations() -> None:
    out = Writer()
    out.annotations(0, {"kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "x"})
    assert out.text() == "Annotations:  note: x\n"


def test_selectors_read_as_on_the_command_line() -> None:
    selector = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["b", "a"]},
            {"key": "old", "operator": "DoesNotExist"},
        ],
    }
    assert selector_text(selector) == "app=web,tier in (a,b),!old"
    assert selector_text(None) == "<none>"
