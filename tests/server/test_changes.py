"""Whether files have changed: an editor's rename, a ConfigMap's swap of links, half a file, a file that comes late."""

import asyncio
import os

from sidecar.server.changes import Changes, signature, watched


def test_a_change_counts_when_it_has_stood_for_a_look_and_until_it_is_read():
    changes, known = Changes(), "a"
    looks = []
    for seen in "aabbbcdddaa":
        looks.append(changes.settled({"f": known}, {"f": seen}))
        if looks[-1]:
            known = seen  # as whoever reads it says
    assert looks == [
        False, False,  # nothing
        False, True, False,  # b, when it is still there at the next look; then it is known
        False, False, True, False,  # c is gone before it could count
        False, True,  # and back
    ]  # fmt: skip


def test_what_is_changed_and_changed_back_between_two_looks_is_no_change():
    changes = Changes()
    assert [changes.settled({"f": "a"}, {"f": seen}) for seen in "baa"] == [False] * 3


def test_a_file_that_is_away_for_one_look_is_no_change():
    changes = Changes()
    assert [changes.settled({"f": "a"}, {"f": seen}) for seen in ("a", None, "a", "a")] == [False] * 4


def test_what_somebody_else_has_read_meanwhile_is_no_change():
    changes = Changes()
    assert not changes.settled({"f": "a"}, {"f": "b"})
    assert not changes.settled({"f": "b"}, {"f": "b"})


def test_other_files_to_look_at_are_no_change():
    changes = Changes()
    assert not changes.settled({"f": "a"}, {"f": "a"})
    assert not changes.settled({"f": "a", "g": None}, {"f": "a", "g": None})
    assert not changes.settled({}, {})


def test_writing_renaming_and_removing_all_show(tmp_path):
    file = tmp_path / "sidecar.yaml"
    seen = [signature([str(file)])]
    file.write_text("a")
    seen.append(signature([str(file)]))
    other = tmp_path / "other"
    other.write_text("a")
    os.utime(other, ns=(0, file.stat().st_mtime_ns))  # the same length and time, another file
    other.rename(file)
    seen.append(signature([str(file)]))
    file.unlink()
    seen.append(signature([str(file)]))
    assert seen[0] == seen[3] == {str(file): None}
    assert [one for one in seen if seen.count(one) == 1] == seen[1:3]


def test_the_swap_of_a_config_maps_links_shows(tmp_path):
    """As the kubelet does it: sidecar.yaml -> ..data/sidecar.yaml, ..data -> a folder, replaced by a rename."""
    for folder, text in (("..1", "old"), ("..2", "new")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "sidecar.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    file = tmp_path / "sidecar.yaml"
    file.symlink_to("..data/sidecar.yaml")
    before = signature([str(file)])
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert file.read_text() == "new"
    assert signature([str(file)]) != before


async def test_a_watch_tells_of_a_change_once_and_follows_the_files(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("1")
    known, told = signature([str(first)]), asyncio.Queue()

    async def changed():
        nonlocal known
        known = signature([str(first), str(second)])
        told.put_nowait(first.read_text())

    async with watched(lambda: known, changed, every_s=0.01), asyncio.timeout(10):
        first.write_text("22")
        assert await told.get() == "22"
        await asyncio.sleep(0.05)
        assert told.empty()  # nothing changed but the files that are looked at
        second.write_text("a file that was not named before")
        assert await told.get() == "22"
