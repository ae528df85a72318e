from __future__ import annotations

import asyncio

from tiphys.kubelet.turns import Turns


class Line:
    """People who take turns, and the order in which they did."""

    def __init__(self, turns: Turns) -> None:
        self.turns, self.order = turns, list[str]()
        self.done: dict[str, asyncio.Event] = {}

    def come(self, name: str, *, sandbox: bool) -> asyncio.Task[None]:
        self.done[name] = asyncio.Event()

        async def work() -> None:
            async with self.turns.turn(sandbox=sandbox):
                self.order.append(name)
                await self.done[name].wait()

        return asyncio.create_task(work())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_so_many_at_a_time_and_containers_first() -> None:
    line = Line(Turns(1, 60))
    tasks = [line.come("s1", sandbox=True)]
    await settle()
    tasks += [line.come("s2", sandbox=True), line.come("s3", sandbox=True), line.come("c1", sandbox=False)]
    await settle()
    assert line.order == ["s1"]
    for name in ("s1", "c1", "s2", "s3"):
        assert line.order[-1] == name
        line.done[name].set()
        await settle()
    await asyncio.gather(*tasks)


async def test_who_gives_up_waiting_takes_nobodys_turn() -> None:
    line = Line(Turns(1, 60))
    first = line.come("a", sandbox=True)
    await settle()
    second, third = line.come("b", sandbox=True), line.come("c", sandbox=True)
    await settle()
    second.cancel()
    line.done["a"].set()
    await settle()
    assert line.order == ["a", "c"]
    line.done["c"].set()
    await asyncio.gather(first, second, third, return_exceptions=True)


async def test_one_that_is_called_and_cancelled_at_once_passes_it_on() -> None:
    line = Line(Turns(1, 60))
    first = line.come("a", sandbox=True)
    await settle()
    second, third = line.come("b", sandbox=True), line.come("c", sandbox=True)
    await settle()
    line.done["a"].set()
    await first  # b is called now, and has not run yet
    second.cancel()
    await settle()
    assert line.order[-1] == "c"
    line.done["c"].set()
    await asyncio.gather(second, third, return_exceptions=True)


async def test_what_hangs_holds_nobody_up_for_long() -> None:
    line = Line(Turns(1, 0))
    tasks = [line.come(name, sandbox=True) for name in ("a", "b", "c")]
    await settle()
    await asyncio.sleep(0.01)
    assert sorted(line.order) == ["a", "b", "c"]
    for name in ("a", "b", "c"):
        line.done[name].set()
    await asyncio.gather(*tasks)
    assert line.turns._free == 1


async def test_a_turn_that_comes_with_the_end_of_patience_is_one_turn() -> None:
    turns = Turns(1, 60)
    line = Line(turns)
    first = line.come("a", sandbox=True)
    await settle()
    second = line.come("b", sandbox=True)
    await settle()
    line.done["a"].set()
    await first  # b is called now
    loop = asyncio.get_running_loop()
    loop.call_soon(second.cancel)
    await settle()
    await asyncio.gather(second, return_exceptions=True)
    assert turns._free == 1
