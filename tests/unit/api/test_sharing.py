"""Parts of like objects are held together, and nothing else about them changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.codec import decode, encode
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.pod.facts import family
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.references import Toleration
from tiphys.api.meta.types import OwnerReference
from tiphys.api.sharing import Models
from tiphys.testing import builders as b


def pod(number: int, image: str = "web:1", tolerations: int = 1) -> Pod:
    """As it comes from the store: nothing of it is shared with another."""
    container = b.container("main", cpu="100m")
    container.image = image
    made = b.pod(
        f"p-{number}",
        node=f"n-{number}",
        labels={"app": "web"},
        containers=[container],
        tolerations=[Toleration(key=f"k{i}", operator="Exists") for i in range(tolerations)],
        phase="Running",
    )
    return decode(POD.schema, encode(made))


def test_equal_parts_are_one_and_others_stay_apart() -> None:
    models = Models()
    first, second = pod(1), pod(2)
    for each in (first, second):
        models.share("web", each)
    assert first.spec is not second.spec
    assert first.spec.containers is second.spec.containers
    assert first.metadata.labels is second.metadata.labels
    assert first.status.conditions is second.status.conditions
    assert (first.spec.node_name, second.spec.node_name) == ("n-1", "n-2")


def test_parts_of_items_that_differ_are_shared_too() -> None:
    models = Models()
    first, second = pod(1, "web:1"), pod(2, "web:2")
    for each in (first, second):
        models.share("web", each)
    one, other = first.spec.containers[0], second.spec.containers[0]
    assert (one.image, other.image) == ("web:1", "web:2")
    assert one.resources is other.resources


def test_families_know_nothing_of_each_other_and_the_oldest_goes() -> None:
    models = Models(most=1)
    first, second, third = pod(1), pod(2), pod(3)
    models.share("a", first)
    models.share("b", second)
    models.share("a", third)
    assert not {id(x.spec.containers) for x in (first, second)} & {id(third.spec.containers)}


def test_running_pods_of_one_controller_or_of_the_same_labels_are_a_family() -> None:
    one, other = pod(1), pod(2)
    assert family(one) == family(other) is not None
    for each in (one, other):
        each.metadata.owner_references = [OwnerReference(kind="ReplicaSet", uid="u-1", controller=True)]
    assert family(one) == "u-1"
    one.status.phase = "Pending"
    assert family(one) is None


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["web:1", "web:2"]), st.integers(0, 2)), min_size=1),
)
def test_objects_stay_equal_to_what_they_were(wanted: list[tuple[int, str, int]]) -> None:
    models = Models()
    made = [pod(*each) for each in wanted]
    before = [encode(each) for each in made]
    for each in made:
        models.share("web", each)
    assert [encode(each) for each in made] == before
