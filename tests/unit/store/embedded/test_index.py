"""The index's generations, beyond what the oracle test walks through by chance."""

from tiphys.store.embedded.index import History, Index, first_position, last_position


def history_of(*steps: str) -> History:
    history = History()
    for step in steps:
        position = first_position(int(step.rstrip("+")))
        if step.endswith("+"):
            history.delete(position)
        else:
            history.put(position, 0)
    return history


def stands_at(history: History, revision: int) -> int:
    return history.at(last_position(revision)) >> 20


def test_the_worked_example_of_the_module() -> None:
    history = history_of("2", "4", "7+", "9")
    assert [stands_at(history, revision) for revision in range(1, 11)] == [0, 2, 2, 4, 4, 4, 0, 0, 9, 9]
    assert (history.created, history.version) == (9, 1)


def test_compaction_keeps_what_may_still_be_asked_for() -> None:
    def dropped(revision: int) -> list[int]:
        return [position >> 20 for position in history_of("2", "4", "7+", "9").compact(revision)]

    assert dropped(3) == []
    assert dropped(5) == [2]
    assert dropped(7) == [2, 4]  # the tombstone stays for a watch from 7
    assert dropped(8) == [2, 4, 7]
    assert dropped(20) == [2, 4, 7]


def test_a_key_without_revisions_leaves_the_index() -> None:
    index = Index()
    index.history(b"a").put(first_position(2), 0)
    index.history(b"a").delete(first_position(3))
    assert index.compact([b"a", b"never"], 4) == [first_position(2), first_position(3)]
    assert b"a" not in index.histories
    assert len(index.keys) == 0


def test_rolling_back_reaches_over_generations() -> None:
    history = history_of("2", "4+", "5", "6+", "7")
    history.roll_back(last_position(4))
    assert (history.newest, stands_at(history, 3)) == (0, 2)
    history.roll_back(last_position(2))
    assert history.newest == 2
    history.roll_back(0)
    assert (history.last, history.before) == (0, None)
