from hypothesis import given
from hypothesis import strategies as st

from tiphys.api import mergepatch
from tiphys.kubectl.edit import difference

_SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2)
# A merge patch cannot put a null into an object, and the API keeps none.
_VALUES = st.recursive(
    _SCALARS.filter(lambda value: value is not None) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3)


@given(before=_OBJECTS, after=_OBJECTS)
def test_the_difference_makes_the_new_object_of_the_old(before: dict[str, object], after: dict[str, object]) -> None:
    assert mergepatch.apply(before, difference(before, after)) == after


@given(_OBJECTS)
def test_equal_objects_have_no_difference(obj: dict[str, object]) -> None:
    assert difference(obj, obj) == {}
