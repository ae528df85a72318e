"""Selectors: what matches, how they print, what is refused and in which words."""

import pytest

from tiphys.base.selectors import FieldSelector, LabelSelector


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("", {}, True),
        ("app=web", {"app": "web"}, True),
        ("app==web", {"app": "db"}, False),
        ("app!=web", {}, True),
        ("app", {"app": ""}, True),
        ("!app", {"app": ""}, False),
        ("tier in (front, back)", {"tier": "back"}, True),
        ("tier notin (front)", {}, True),
        ("tier in ()", {"tier": ""}, True),
        ("in in (in,notin)", {"in": "notin"}, True),
        ("n>3", {"n": "4"}, True),
        ("n>3", {"n": "four"}, False),
        ("n<3,app=web", {"n": "2", "app": "web"}, True),
        ("a=", {"a": ""}, True),
    ],
)
def test_label_selectors_match_as_upstream(text: str, labels: dict[str, str], matches: bool) -> None:
    assert LabelSelector.parse(text).matches(labels) is matches


@pytest.mark.parametrize("text", ["!canary,app=web,tier in (a,b)", "n>3", "a", "a notin (,x)", ""])
def test_text_form_parses_back_to_the_same_selector(text: str) -> None:
    selector = LabelSelector.parse(text)
    assert LabelSelector.parse(str(selector)) == selector


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a in x", "unable to parse requirement: found 'x' expected: '('"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
    ],
)
def test_refusals_speak_upstreams_words(text: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        LabelSelector.parse(text)
    assert str(error.value) == message


def test_a_bad_label_value_is_refused() -> None:
    with pytest.raises(ValueError, match="a valid label must be an empty string"):
        LabelSelector.parse("a=-x-")


def test_field_selectors_compare_and_unescape() -> None:
    selector = FieldSelector.parse(r"spec.nodeName=n\,1,status.phase!=Failed")
    fields = {"spec.nodeName": "n,1", "status.phase": "Running"}
    assert selector.matches(lambda name: fields.get(name, ""))
    assert FieldSelector.parse(str(selector)) == selector
    assert not selector.matches(lambda _name: "")


def test_field_selector_refusals() -> None:
    with pytest.raises(ValueError, match="invalid selector: 'a'; can't understand 'a'"):
        FieldSelector.parse("a")
    with pytest.raises(ValueError, match="unescaped character in value: 61"):
        FieldSelector.parse("a==b=c")
