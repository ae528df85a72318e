"""LabelSelector structs as predicates."""

import pytest

from tiphys.api.labels import selector_of, selector_of_map, text_of
from tiphys.api.meta.types import LabelSelector, LabelSelectorRequirement


def test_absent_matches_nothing_and_empty_everything() -> None:
    assert not selector_of(None).matches({})
    assert selector_of(LabelSelector()).matches({"a": "b"})
    assert selector_of_map({}).matches({"a": "b"})


def test_labels_and_expressions_hold_together() -> None:
    expression = LabelSelectorRequirement(key="tier", operator="NotIn", values=["db"])
    selector = selector_of(LabelSelector(match_labels={"app": "web"}, match_expressions=[expression]))
    assert selector.matches({"app": "web", "tier": "front"})
    assert not selector.matches({"app": "web", "tier": "db"})
    assert text_of(LabelSelector(match_labels={"app": "web"})) == "app=web"


def test_an_unknown_operator_is_refused() -> None:
    with pytest.raises(ValueError, match='"Like" is not a valid label selector operator'):
        selector_of(LabelSelector(match_expressions=[LabelSelectorRequirement(key="a", operator="Like")]))
