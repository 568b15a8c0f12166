"""Pins over a restart: what comes back from the file, and what no file can do."""

import asyncio
import errno
import os
import resource
import struct
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config.models import TtlPolicy
from sidecar.routing.decision import Failover, Held, Pin, Reason
from sidecar.routing.pins import PinTable
from sidecar.routing.session import SessionKey
from sidecar.stores import snapfile
from sidecar.stores.snapshot import PACKED_AT_ONCE, Snapshot

PIN = Pin(("openai/gpt-4o",), "code", Reason.ROUTED, 1e9)
RICH = Pin(
    ("a/b", "c/d"), None, Reason.FAILOVER, 1e9, mixed=True, source="session-id", confidence=0.5, scores=(("x", 0.25),)
)
KEY = SessionKey("a").encoded


@define
class Process:
    """A table and the file it is kept in, with clocks that a test turns: they agree but for `ahead_s`."""

    path: Path
    ttl_s: float = 100
    capacity: int = 1000
    policy: TtlPolicy = TtlPolicy.SLIDING
    gone: frozenset = frozenset()
    now: float = 50.0
    ahead_s: float = 1e9
    counts: Counter = field(factory=Counter)
    looks: int = 0
    """At the clock."""
    table: PinTable = field(init=False)

    def __attrs_post_init__(self):
        self.table = PinTable(ttl_s=self.ttl_s, capacity=self.capacity, policy=self.policy)

    def snapshot(self, interval_s=3600):
        return Snapshot(
            self.table,
            self.path,
            interval_s=interval_s,
            offered=lambda model: model not in self.gone,
            clock=self.clock,
            wall=lambda: self.now + self.ahead_s,
            counter=lambda name: lambda: self.counts.update([name]),
            errors=lambda name: lambda: self.counts.update([f"{name} failed"]),
        )

    def clock(self):
        self.looks += 1
        return self.now

    def claim(self, *names, pin=PIN):
        for name in names:
            self.table.claim(name if ":" in name else SessionKey(name).encoded, pin, self.now)

    def sessions(self):
        """Those that are pinned, the least recently used first."""
        self.table.sweep(self.now)
        return [SessionKey.decoded(key).session_id for key, _ in self.held()]

    def held(self):
        keys = self.table.keys()
        return [(key, self.table.peek(key, self.now)) for key in keys]


def beside(path):
    return sorted(each.name for each in path.parent.iterdir())


async def appeared(path):
    async with asyncio.timeout(10):
        while not path.exists():  # noqa: ASYNC110 - it is a file that is waited for
            await asyncio.sleep(0.005)


async def written(process):
    async with process.snapshot():
        pass


async def restarted(process, **changes):
    """Another process that begins when that one ended, `changes` apart."""
    begun = Process(process.path, **{"now": 7.0, "ahead_s": process.now + process.ahead_s - 7.0, **changes})
    await written(begun)
    return begun


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pins"


async def test_who_leaves_off_writes_once_more_and_never_again(path):
    process = Process(path)
    async with process.snapshot() as snapshot:
        process.claim("before")
        await snapshot.leave_off()
        process.claim("after")
    assert (await restarted(process)).sessions() == ["before"]


async def kept(process, *names):
    async with process.snapshot():
        process.claim(*names)


async def test_all_of_a_pin_comes_back(path):
    process = Process(path)
    key = SessionKey("s:1", "tenant ü", "lane:2").encoded
    async with process.snapshot():
        process.claim(key, pin=RICH)
        process.now += 4
        process.table.get(key, process.now)
        process.table.note(key, Failover(1e9, "refused", None), process.now)
        process.now += 6
    begun = await restarted(process)
    held = Held(RICH, 94, 2, 10, Failover(1e9, "refused", None))
    assert begun.table.peek(key, begun.now) == held


async def test_time_passes_between_two_processes(path):
    process = Process(path)
    async with process.snapshot():
        process.claim("early")
        process.now += 60
        process.claim("late")
    begun = await restarted(process, ahead_s=process.ahead_s + process.now - 7 + 50)
    late = begun.table.peek(SessionKey("late").encoded, begun.now)
    assert (begun.sessions(), late.expires_in_s, late.age_s) == (["late"], 50, 50)


async def test_a_clock_that_was_set_back_lets_no_pin_live_longer(path):
    process = Process(path)
    async with process.snapshot():
        process.claim("a")
        process.now += 60
    begun = await restarted(process, ahead_s=0)
    assert begun.table.peek(KEY, begun.now).expires_in_s == 40


async def test_a_shorter_time_to_live_counts_for_pins_of_before_too(path):
    process = Process(path)
    await kept(process, "a")
    begun = await restarted(process, ttl_s=10)
    assert begun.table.peek(KEY, begun.now).expires_in_s == 10


async def test_a_pin_of_a_model_that_is_gone_is_dropped_and_one_of_a_lower_candidate_loses_that(path):
    process = Process(path)
    async with process.snapshot():
        process.claim("a", pin=RICH)
        process.claim("b")
    assert (await restarted(process, gone={"a/b"})).sessions() == ["b"]


async def test_a_pin_loses_only_the_lower_candidates_that_are_gone(path):
    process = Process(path)
    async with process.snapshot():
        process.claim("a", pin=RICH)
    begun = await restarted(process, gone={"c/d"})
    assert begun.table.peek(KEY, begun.now).pin.candidates == ("a/b",)


@pytest.mark.parametrize("policy", TtlPolicy)
async def test_the_order_of_use_is_kept_and_of_too_many_pins_the_most_recently_used_stay(path, policy):
    process = Process(path, policy=policy)
    async with process.snapshot():
        for name in "abcde":
            process.now += 1
            process.claim(name)
        process.now += 1
        process.table.get(SessionKey("b").encoded, process.now)
    assert (await restarted(process, policy=policy)).sessions() == ["a", "c", "d", "e", "b"]
    assert (await restarted(process, policy=policy, capacity=3)).sessions() == ["d", "e", "b"]


async def test_a_fixed_time_to_live_goes_on(path):
    process = Process(path, policy=TtlPolicy.FIXED)
    async with process.snapshot():
        process.claim("a")
        process.now += 30
        process.table.get(KEY, process.now)
    begun = await restarted(process, policy=TtlPolicy.FIXED)
    assert begun.table.get(KEY, begun.now).expires_in_s == 70
    begun.now += 70
    assert begun.sessions() == []


async def test_only_its_owner_may_read_the_file_and_nothing_is_left_beside_it(path):
    was = os.umask(0)
    try:
        await kept(Process(path), "a")
    finally:
        os.umask(was)
    assert (oct(path.stat().st_mode & 0o777), beside(path)) == ("0o600", ["pins"])


async def test_it_is_written_only_when_something_changed(path):
    process = Process(path)
    snapshot = process.snapshot()
    await snapshot.write()
    assert not path.exists()
    process.claim("a")
    await snapshot.write()
    first = path.stat().st_ino, path.stat().st_mtime_ns
    await snapshot.write()
    process.table.peek(KEY, process.now)
    await snapshot.write()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == first
    process.table.get(KEY, process.now)
    await snapshot.write()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) != first
    assert process.counts == {"snapshot": 2}


async def test_a_process_that_only_starts_leaves_the_file_alone(path):
    process = Process(path)
    await kept(process, "a", "b")
    first = path.stat().st_ino, path.stat().st_mtime_ns
    await restarted(process)
    await restarted(process, ahead_s=0, capacity=1)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == first


@pytest.mark.parametrize(
    "change",
    [
        lambda table, now: table.claim("0:0:b", PIN, now),
        lambda table, now: table.move(KEY, RICH, now, PIN, used=False),
        lambda table, now: table.restore("0:0:b", Held(PIN, 5), now),
        lambda table, now: table.note(KEY, Failover(1.0, "refused", None), now),
        lambda table, now: table.delete(KEY, now),
        lambda table, now: table.sweep(now + 100),
    ],
    ids=["claim", "move", "restore", "note", "delete", "expiry"],
)
async def test_every_change_of_a_pin_is_one(path, change):
    process = Process(path)
    snapshot = process.snapshot()
    process.claim("a")
    await snapshot.write()
    change(process.table, process.now)
    await snapshot.write()
    assert process.counts["snapshot"] == 2


async def test_who_expired_leaves_the_file_though_nobody_asks(path):
    process = Process(path)
    snapshot = process.snapshot()
    process.claim("canary")
    await snapshot.write()
    assert b"canary" in path.read_bytes()
    process.now += 100
    await snapshot.write()
    assert b"canary" not in path.read_bytes()


async def test_it_is_written_every_interval_and_at_once_when_asked_to(path):
    process = Process(path)
    async with process.snapshot(interval_s=0.01):
        process.claim("a")
        await appeared(path)
    process = Process(path.with_name("other"))
    async with process.snapshot() as snapshot:
        process.claim("a")
        snapshot.write_soon()
        await appeared(process.path)


async def test_other_work_goes_on_while_it_is_written_and_each_pin_is_whole(path):
    process = Process(path, capacity=3000)
    names = [f"s{n}" for n in range(2000)]
    process.claim(*names, pin=PIN)
    snapshot = process.snapshot()
    process.claim("last")
    turns = most = 0

    async def meddle():
        nonlocal turns, most
        while True:
            turns += 1
            most, process.looks = max(most, process.looks), 0
            key = SessionKey(names[turns * 7 % 2000]).encoded
            if process.table.move(key, RICH if turns % 2 else PIN, process.now).held.turns % 5 == 4:
                process.table.delete(key, process.now)
            await asyncio.sleep(0)

    meddling = asyncio.create_task(meddle())
    await snapshot.write()
    meddling.cancel()
    assert most < 2 * PACKED_AT_ONCE
    begun = await restarted(process, capacity=3000)
    assert len(begun.table) > 1900
    assert {held.pin for _, held in begun.held()} <= {PIN, RICH}


# Files that cannot be used


def whole(*names):
    """The bytes of a good file."""

    async def make(path):
        await kept(Process(path), *names)
        return path.read_bytes()

    with TemporaryDirectory() as folder:
        return asyncio.run(make(Path(folder) / "pins"))


GOOD = whole("one", "two", "three")


def sealed(body, head=None):
    """A file with the right digest, whatever is in it."""
    content = (head or snapfile.head(snapfile.Order.USE, 1e9)) + body + struct.pack(">Q", 0)
    return content + blake2b(content, digest_size=16).digest()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"version: v0.1.0\n", "no snapshot of pins"),
        (b"\x00" * 5000, "no snapshot of pins"),
        (GOOD[:9], "cut off or damaged"),
        (GOOD[:-1], "cut off or damaged"),
        (GOOD + b"\n", "cut off or damaged"),
        (GOOD[:60] + b"?" + GOOD[61:], "cut off or damaged"),
        (GOOD[:8] + b"\x02" + GOOD[9:], "a snapshot of version 2, and this release reads version 1"),
        (sealed(b"\x00\x05"), "damaged"),
        (sealed(b"\x00\x05\x00\x00\x00\x05short"), "damaged"),
        (sealed(b"", snapfile.HEAD.pack(snapfile.MAGIC, 1, 9, 0.0)), "damaged"),
    ],
    ids=range(11),
)
async def test_a_file_that_cannot_be_read_is_set_aside_with_one_warning(path, caplog, content, why):
    path.write_bytes(content)
    process = Process(path)
    await kept(process, "new")
    [aside] = path.parent.glob("pins.bad-*")
    assert (aside.read_bytes(), process.sessions()) == (content, ["new"])
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning == f"the snapshot of pins {path} is not used: {why}; set aside as {aside.name}"
    assert process.counts == {"snapshot": 2, "snapshot failed": 1}
    assert (await restarted(process)).sessions() == ["new"]


async def test_only_a_few_files_set_aside_are_kept(path):
    for n in range(6):
        path.write_bytes(b"bad %d" % n)
        await written(Process(path))
    assert [aside.read_bytes() for aside in sorted(path.parent.iterdir())] == [b"bad 3", b"bad 4", b"bad 5"]


async def start_with(content):
    with TemporaryDirectory() as folder:
        process = Process(Path(folder) / "pins")
        process.path.write_bytes(content)
        async with process.snapshot():
            process.claim("new")
        assert "new" in process.sessions()
        assert process.path.read_bytes().startswith(snapfile.MAGIC)
        return process


@settings(max_examples=60)
@given(st.one_of(
    st.binary(),
    st.binary().map(lambda rest: snapfile.MAGIC + rest),
    st.integers(0, len(GOOD)).map(lambda end: GOOD[:end]),
    st.tuples(st.integers(0, len(GOOD) - 1), st.integers(1, 255)).map(
        lambda flip: GOOD[: flip[0]] + bytes([GOOD[flip[0]] ^ flip[1]]) + GOOD[flip[0] + 1 :]
    ),
))  # fmt: skip
def test_no_bytes_keep_a_sidecar_from_starting(content):
    pins = asyncio.run(start_with(content)).sessions()
    assert pins == (["new"] if content != GOOD else ["one", "two", "three", "new"])


DOUBLE = st.floats().map(lambda number: struct.pack(">d", number))
RECORD = st.tuples(DOUBLE, DOUBLE, st.binary(max_size=60)).map(
    lambda parts: b"\x01P" + parts[0] + parts[1] + struct.pack(">III", 1, len(parts[2]), 0) + parts[2]
)
PINNED = GOOD[GOOD.index(b"openai") - 2 :]


@settings(max_examples=60)
@given(st.lists(st.tuples(
    st.one_of(st.binary(max_size=20), st.just(b"0:0:x"), st.just(b"0:0:\xff")), st.one_of(st.binary(), RECORD)
)), st.floats())  # fmt: skip
def test_nor_do_bytes_with_the_right_digest(pins, began_at_s):
    body = b"".join(struct.pack(">HI", len(key), len(record)) + key + record for key, record in pins)
    assert "new" in asyncio.run(start_with(sealed(body, snapfile.head(snapfile.Order.EXPIRY, began_at_s)))).sessions()


async def test_one_pin_that_cannot_be_read_costs_no_other(path):
    body = GOOD[snapfile.HEAD.size : -24]
    path.write_bytes(sealed(b"\x00\x01\x00\x00\x00\x01xy" + body))
    process = Process(path)
    await written(process)
    assert process.sessions() == ["one", "two", "three"]


async def test_a_pin_that_cannot_be_written_costs_no_other(path):
    process = Process(path)
    async with process.snapshot():
        process.claim("a", SessionKey("b", tenant="x" * 70_000).encoded)
        process.claim("c", pin=Pin(("a/b",), "no text: \ud800", Reason.ROUTED, 1e9))
        process.claim("d")
    assert (await restarted(process)).sessions() == ["a", "d"]


async def test_odd_tenants_and_absurd_numbers_of_turns_come_back(path):
    process = Process(path)
    key = SessionKey("a", tenant="caf\udce9").encoded
    async with process.snapshot():
        process.table.restore(key, Held(PIN, 50, 2**40), process.now)
    begun = await restarted(process)
    assert begun.table.peek(key, begun.now).turns == 2**32 - 1


@pytest.mark.parametrize("numbers", [(float("inf"), 0.0), (float("nan"), 0.0), (2e9, float("nan"))])
async def test_a_pin_whose_times_are_no_times_is_dropped(path, numbers):
    record = bytearray(GOOD[GOOD.index(b"0:0:one") + 7 : GOOD.index(b"0:0:two") - 6])
    record[2:18] = struct.pack(">dd", *numbers)
    path.write_bytes(sealed(struct.pack(">HI", 7, len(record)) + b"0:0:one" + record))
    process = Process(path)
    await written(process)
    assert process.sessions() == []


# Places that cannot be used


def warnings_in(caplog):
    start = "the snapshot of pins "
    return [each.getMessage().removeprefix(start) for each in caplog.records if each.levelname == "WARNING"]


async def test_a_folder_that_is_missing_is_told_once_and_so_is_its_coming_and_each_change(tmp_path, caplog):
    folder = tmp_path / "folder"
    process = Process(folder / "pins")
    missing = f"{process.path} cannot be written: {os.strerror(errno.ENOENT)}; trying on"
    async with process.snapshot() as snapshot:
        process.claim("a")
        assert snapshot.describe() == (False, f"cannot be written ({os.strerror(errno.ENOENT)}); none written yet")
        await snapshot.write()
        await snapshot.write()
        assert warnings_in(caplog) == [missing]
        folder.write_text("in its place")
        await snapshot.write()
        folder.unlink()
        folder.mkdir()
        await snapshot.write()
    other = f"{process.path} cannot be written: {os.strerror(errno.ENOTDIR)}; trying on"
    assert warnings_in(caplog) == [missing, other, f"{process.path} is written again"]
    assert process.counts == {"snapshot": 4, "snapshot failed": 4}
    assert (await restarted(process)).sessions() == ["a"]


class NoThreads(ThreadPoolExecutor):
    """Of a process that has as many as it may have."""

    def submit(self, *_call, **_more):
        raise RuntimeError("can't start new thread")


async def test_a_thread_that_cannot_be_had_ends_neither_the_writing_nor_the_stop(path):
    process = Process(path)
    async with process.snapshot() as snapshot:
        process.claim("a")
        asyncio.get_running_loop().set_default_executor(NoThreads())
        await snapshot.write()
        assert snapshot.describe() == (False, "cannot be written (RuntimeError); none written yet")
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    after = Process(path)
    await kept(after)
    assert after.sessions() == ["a"]


def link(path):
    path.symlink_to(path.with_name("target"))


def link_to_nothing(path):
    path.symlink_to("/nowhere/at/all")


@pytest.mark.parametrize("make", [link, link_to_nothing, Path.mkdir, os.mkfifo])
async def test_what_is_no_ordinary_file_is_neither_read_nor_replaced(path, caplog, make):
    path.with_name("target").write_bytes(GOOD)
    make(path)
    kind = path.lstat().st_mode
    process = Process(path)
    async with asyncio.timeout(10):
        await kept(process, "a")
    assert (process.sessions(), path.lstat().st_mode, path.with_name("target").read_bytes()) == (["a"], kind, GOOD)
    assert warnings_in(caplog) == [f"{path} cannot be written: what is there is no ordinary file; trying on"]


@contextmanager
def room_for(size):
    """No file of this process may become larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_is_full_leaves_the_last_file_as_it_was(path):
    process = Process(path)
    await kept(process, "a")
    before = path.read_bytes()
    snapshot = process.snapshot()
    process.claim("b", "c")
    with room_for(100):
        await snapshot.write()
    assert (path.read_bytes(), beside(path)) == (before, ["pins"])
    assert snapshot.describe()[0] is False
    await snapshot.write()
    assert (snapshot.describe()[0], (await restarted(process)).sessions()) == (True, ["a", "b", "c"])


async def test_of_two_processes_with_one_file_the_last_wins_and_the_file_is_always_whole(path):
    processes = [Process(path), Process(path)]
    for number, process in enumerate(processes):
        process.claim(*(f"{number}-{n}" for n in range(1000)))
    snapshots = [process.snapshot() for process in processes]

    async def write(process, snapshot):
        for _ in range(5):
            process.table.get(process.table.keys()[0], process.now)
            await snapshot.write()

    writing = asyncio.gather(*map(write, processes, snapshots))
    seen = 0
    while not writing.done():
        content = await asyncio.to_thread(snapfile.read, path)
        if content is not None:
            seen += 1
            names = {pin.key[4:5] for pin in snapfile.understood(content).pins()}
            assert len(names) == 1
    await writing
    assert (seen > 0, beside(path)) == (True, ["pins"])
    assert [snapshot.describe()[0] for snapshot in snapshots] == [True, True]


async def test_what_a_killed_process_left_half_written_goes_and_what_another_writes_stays(path):
    dead, alive = path.with_name(".pins.new-dead"), path.with_name(".pins.new-alive")
    dead.write_bytes(b"half")
    alive.write_bytes(b"half")
    os.utime(dead, (1e9, 1e9))
    await kept(Process(path), "a")
    assert beside(path) == [".pins.new-alive", "pins"]


async def test_it_says_how_it_is(path):
    process = Process(path)
    async with process.snapshot() as snapshot:
        assert snapshot.describe() == (True, "none written yet, nothing new since")
        process.claim("a", "b")
        await snapshot.write()
        process.now += 12
        size = path.stat().st_size
        assert snapshot.describe() == (True, f"2 pins in {size} bytes, written 12 s ago, nothing new since")
        process.claim("c")
        assert snapshot.describe() == (True, f"2 pins in {size} bytes, written 12 s ago")


async def test_the_log_has_counts_and_no_session(path, caplog):
    caplog.set_level("INFO")
    process = Process(path)
    async with process.snapshot():
        process.claim("canary-1")
        process.now += 50
        process.claim("canary-2", pin=RICH)
        process.claim("canary-3")
    await restarted(process, gone={"a/b"}, ahead_s=process.ahead_s + process.now - 7 + 60)
    assert caplog.messages == [
        f"pins of the snapshot {path}: 1 taken up, 1 expired, 1 of models that are no longer configured"
    ]


# A reference


@define
class Reference:
    """Ten lines that say what a table kept over restarts is: name -> (model, expiry by the calendar), in order of use."""

    ttl_s: float
    capacity: int
    sliding: bool
    pins: dict = field(factory=dict)

    def use(self, name, model, wall):
        self.pins = {key: kept for key, kept in self.pins.items() if kept[1] > wall}
        model, expires_at = self.pins.pop(name, (model, wall + self.ttl_s))
        while len(self.pins) >= self.capacity:
            del self.pins[next(iter(self.pins))]
        self.pins[name] = (model, wall + self.ttl_s if self.sliding else expires_at)

    def restart(self, wall, capacity, gone):
        live = [item for item in self.pins.items() if item[1][1] > wall and item[1][0] not in gone]
        self.pins, self.capacity = dict(live[-capacity:]), capacity


# Whole numbers, and no two uses at one time: then both count in floats without a rest, and nothing ties.
USE = st.tuples(st.just("use"), st.sampled_from("abcdefg"), st.sampled_from(["m/1", "m/2", "m/3"]), st.integers(1, 9))
RESTART = st.tuples(
    st.just("restart"),
    st.integers(0, 25),
    st.integers(1, 6),
    st.sets(st.sampled_from(["m/1", "m/2", "m/3"]), max_size=1),
)


async def compare(policy, steps):
    reference = Reference(20.0, 4, policy is TtlPolicy.SLIDING)
    with TemporaryDirectory() as folder:
        process = Process(Path(folder) / "pins", ttl_s=20.0, capacity=4, policy=policy)
        for step in steps:
            wall = process.now + process.ahead_s
            match step:
                case "use", name, model, seconds:
                    process.now += seconds
                    reference.use(name, model, wall + seconds)
                    process.claim(name, pin=Pin((model,), None, Reason.ROUTED, 1.0))
                case "restart", seconds, capacity, gone:
                    snapshot = process.snapshot()
                    snapshot._saved = -1  # as when the last one is an interval old
                    await snapshot.write()
                    reference.restart(wall + seconds, capacity, gone)
                    process = Process(
                        process.path, ttl_s=20.0, capacity=capacity, policy=policy, gone=gone, now=1024.0,
                        ahead_s=wall + seconds - 1024.0,
                    )  # fmt: skip
                    async with process.snapshot():
                        pass
            process.table.sweep(process.now)
            wall = process.now + process.ahead_s
            assert [(key[4:], held.pin.model, held.expires_in_s) for key, held in process.held()] == [
                (name, model, expires_at - wall)
                for name, (model, expires_at) in reference.pins.items()
                if expires_at > wall
            ]


@settings(max_examples=60)
@given(st.sampled_from(TtlPolicy), st.lists(st.one_of(USE, USE, RESTART), max_size=25))
def test_over_any_restarts_the_table_is_what_ten_lines_say(policy, steps):
    asyncio.run(compare(policy, steps))
