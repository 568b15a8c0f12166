"""A whole sidecar that keeps its pins in a file."""

import re

from running import CODE, CONFIG, REASONING, chat


def keeping(path):
    return f"{CONFIG}\nrouting: {{session_cache: {{snapshot: {path}, snapshot_interval: 50ms}}}}\n"


async def word(sidecar):
    """What `/ready?verbose` says of the snapshot."""
    async with sidecar.client.get(f"{sidecar.admin}/ready?verbose") as answer:
        return next((line for line in (await answer.text()).splitlines() if " snapshot: " in line), None)


async def test_the_next_sidecar_knows_the_sessions_of_this_one(start, tmp_path):
    config = keeping(tmp_path / "pins")
    first = await start(config)
    assert await word(first) == "[+] snapshot: none written yet, nothing new since"
    _, made, _ = await first.decide(chat(CODE), x_session_id="s")
    await first.shows('sidecar_store_operations_total{operation="snapshot",store="memory"}', 1)
    while "nothing new since" not in (said := await word(first)):
        pass
    assert re.fullmatch(r"\[\+\] snapshot: 1 pins in \d+ bytes, written 0 s ago, nothing new since", said)
    second = await start(config)
    _, found, _ = await second.decide(chat(REASONING), x_session_id="s")
    assert (found["model"], found["pinned"]) == (made["model"], True)


async def test_a_sidecar_serves_all_the_same_where_nothing_can_be_written(start, tmp_path):
    sidecar = await start(keeping(tmp_path / "missing" / "pins"))
    status, _, _ = await sidecar.decide(x_session_id="s")
    assert status == 200
    assert (await word(sidecar)).startswith("[-] snapshot: cannot be written (No such file or directory)")
    assert (await sidecar.metrics())['sidecar_store_errors_total{operation="snapshot",store="memory"}'] >= 1


async def test_without_a_file_nothing_is_said_of_one(start):
    assert await word(await start()) is None
