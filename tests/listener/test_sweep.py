import asyncio
from collections import Counter

from sidecar.listener.sweep import SLICE, Sweep


async def test_a_round_looks_at_everything_once_and_never_at_many_in_one_go():
    there, looks, at_once = list(range(10 * SLICE + 1)), Counter(), Counter()
    over, rounds = asyncio.Event(), []

    def all_():
        rounds.append(None)
        if len(rounds) == 1:
            return there
        over.set()
        return []

    def look(each, now):
        looks[each] += 1
        at_once[now] += 1

    sweep = Sweep(all_, look, lambda: 0.02)
    sweep.wake()
    sweep.wake()
    await asyncio.wait_for(over.wait(), 10)
    assert set(looks.values()) == {1}
    assert len(looks) == len(there)
    assert max(at_once.values()) <= SLICE


class Seen(list):
    """Those looked at; `enough` is set with the third."""

    def __init__(self):
        super().__init__()
        self.enough = asyncio.Event()

    def look(self, each, _now):
        self.append(each)
        if len(self) == 3:
            self.enough.set()


async def test_it_sleeps_while_there_is_nothing_and_wakes_for_more():
    there, seen, asked = [], Seen(), []

    def all_():
        asked.append(len(there))
        return there

    sweep = Sweep(all_, seen.look, lambda: 0.005)
    sweep.wake()
    await asyncio.sleep(0.05)
    assert asked == [0]
    there.append("one")
    sweep.wake()
    await asyncio.wait_for(seen.enough.wait(), 10)
    there.clear()


async def test_what_comes_while_a_round_goes_on_is_for_the_next():
    there, seen = ["one"], Seen()

    def look(each, now):
        seen.look(each, now)
        if len(seen) == 1:
            there.append("two")

    sweep = Sweep(lambda: there, look, lambda: 0.005)
    sweep.wake()
    await asyncio.wait_for(seen.enough.wait(), 10)
    there.clear()
    assert sorted(seen[1:3]) == ["one", "two"]
