"""`sidecar pins` against a sidecar that serves, as an operator types it."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from running import chat

from sidecar.cli import main


@pytest.fixture
async def at_work(start):
    """A sidecar with a session that named itself, of three requests."""
    served = await start()
    for _ in range(3):
        await served.decide(chat(), X_Session_Id="run-42")
    return served


@pytest.fixture
def ask(at_work, capsys):
    """`await ask("get", "run-42")`: (exit code, standard output, standard error) of `sidecar pins get run-42`."""

    async def run(*arguments, admin=at_work.admin):
        # In this process: a new one takes half a second to start. The sidecar serves meanwhile.
        code = await asyncio.to_thread(main, ["pins", *map(str, arguments), "--admin", admin])
        return code, *capsys.readouterr()

    return run


async def test_plain_pins_lists_who_keeps_what_and_why(at_work, sidecar):
    program = await sidecar("pins", environ={"SIDECAR_ADMIN": at_work.admin})
    out, errors = await program.process.communicate()
    title, row, total = out.decode().splitlines()
    assert (program.process.returncode, errors, total) == (0, b"", "1 of 1")
    assert title.split()[:4] == ["SESSION", "MODEL", "ROUTE", "REASON"]
    assert row.split()[:6] == ["run-42", "anthropic/claude-sonnet", "code_generation", "routed", "x-session-id", "3"]


async def test_lanes_of_a_session_are_told_apart_where_there_are_any(ask):
    await ask("set", "run-42", "openai/gpt-4o", "--lane", "a10245c7d060892b1")
    title, *rows, _ = (await ask("list"))[1].splitlines()
    assert title.split()[:3] == ["SESSION", "LANE", "MODEL"]
    assert sorted(row.split()[1:3] for row in rows) == [
        ["-", "anthropic/claude-sonnet"],
        ["a10245c7d060892b1", "openai/gpt-4o"],
    ]


async def test_a_list_is_chosen_from_and_bounded(ask, at_work):
    for n in range(5):
        await at_work.decide(chat(), X_Model_Affinity=f"other-{n}")
    for chosen, count in (
        (["--source", "x-model-affinity"], 5),
        (["--route", "code_generation"], 6),
        (["--model", "openai/gpt-4o"], 0),
        (["--limit", "4"], 4),
    ):
        code, out, _ = await ask("list", *chosen, "--json")
        assert (code, len(json.loads(out)["pins"])) == (0, count)
    assert (await ask("list", "--limit", "4"))[1].splitlines()[-1] == "4 of 6, more with --limit"
    assert (await ask("list", "--model", "openai/gpt-4o"))[1] == "no pins with --model openai/gpt-4o, of 6\n"


async def test_get_tells_the_whole_story_in_words(ask):
    code, out, _ = await ask("get", "run-42")
    assert code == 0
    assert out.startswith("session run-42, which x-session-id named, keeps anthropic/claude-sonnet.\n")
    assert "route code_generation, the classifier chose this route, confidence 0." in out
    assert "3 requests so far; without another one it ends in " in out
    assert "If anthropic/claude-sonnet fails, openai/gpt-4o may answer." in out
    assert out.count("complex_reasoning") == 1


async def test_get_has_the_same_for_programs(ask):
    pin = json.loads((await ask("get", "run-42", "--json"))[1])
    assert (pin["session_id"], pin["turns"], pin["reason"]) == ("run-42", 3, "routed")


@pytest.mark.parametrize("arguments", [["--json", "--admin", "URL", "list"], ["list", "--admin", "URL", "--json"]])
async def test_options_stand_before_the_action_or_behind_it(at_work, capsys, arguments):
    arguments = [at_work.admin if each == "URL" else each for each in arguments]
    assert await asyncio.to_thread(main, ["pins", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["total"] == 1


@pytest.mark.parametrize("action", ["get", "delete"])
async def test_a_session_without_a_pin_is_a_sentence_and_1(ask, action):
    code, out, errors = await ask(action, "nobody")
    assert (code, out) == (1, "")
    assert errors.startswith("sidecar: nobody has no pin: ")


async def test_set_pins_and_delete_forgets(ask, at_work):
    assert (await ask("set", "run-42", "gpt-4o-mini"))[:2] == (0, "run-42 keeps openai/gpt-4o-mini for 10 min\n")
    _, decision, _ = await at_work.decide(chat(), X_Session_Id="run-42")
    assert (decision["model"], decision["pinned"]) == ("openai/gpt-4o-mini", True)
    assert "somebody pinned it by hand" in (await ask("get", "run-42"))[1]
    assert (await ask("delete", "run-42", "--json"))[:2] == (0, '{\n  "deleted": "run-42"\n}\n')
    assert (await at_work.decide(chat(), X_Session_Id="run-42"))[1]["pinned"] is False


@pytest.mark.parametrize("session", ["a/b?c#d%41", "..", ".", "export", "import", "move", "%2e%2e", "a//b/"])
async def test_any_session_id_can_be_asked_for(ask, session):
    assert (await ask("set", session, "openai/gpt-4o"))[0] == 0
    code, out, errors = await ask("get", session, "--json")
    assert (code, errors) == (0, "")
    assert json.loads(out)["session_id"] == session
    assert (await ask("delete", session))[0] == 0
    assert (await ask("get", session))[0] == 1


async def test_sessions_of_tenants_and_lanes_are_told_apart(ask):
    key = ("--tenant", "acme", "--lane", "plan")
    assert (await ask("set", "run-42", "openai/gpt-4o", *key))[0] == 0
    story = (await ask("get", "run-42", *key))[1]
    assert "keeps openai/gpt-4o." in story
    assert "  tenant: acme\n  lane: plan\n" in story
    assert "keeps anthropic/claude-sonnet." in (await ask("get", "run-42"))[1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("set", "run-42", "no/such"), "no configured provider offers 'no/such'"),
        (("set", "run-42", "openai/gpt-4o", "--route", "nowhere"), "no configured route has this name"),
        (("set", "a b", "openai/gpt-4o"), "1 to 256 visible ASCII characters"),
        (("move", "openai/gpt-4o", "no/such"), "no configured provider offers 'no/such'"),
    ],
)
async def test_what_the_sidecar_refuses_is_said_in_its_words(ask, arguments, sentence):
    code, out, errors = await ask(*arguments)
    assert (code, out, sentence in errors, "Traceback" in errors) == (1, "", True, False)


async def test_move_takes_every_session_off_a_model(ask, at_work):
    assert (await ask("move", "anthropic/claude-sonnet", "openai/gpt-4o"))[1] == (
        "1 session moved from anthropic/claude-sonnet to openai/gpt-4o\n"
    )
    assert (await at_work.decide(chat(), X_Session_Id="run-42"))[1]["model"] == "openai/gpt-4o"


async def test_an_export_goes_into_another_sidecar(ask, start, tmp_path):
    other = await start()
    path = tmp_path / "pins.ndjson"
    assert (await ask("export", path))[1] == f"1 pins in {path}\n"
    assert (await ask("import", path, admin=other.admin))[1] == "1 imported, 0 kept as they were, 0 refused\n"
    _, decision, _ = await other.decide(chat("Compare SQL and NoSQL"), X_Session_Id="run-42")
    assert (decision["model"], decision["pinned"]) == ("anthropic/claude-sonnet", True)


async def test_an_export_to_standard_output_is_lines_of_json(ask):
    head, pin = map(json.loads, (await ask("export"))[1].splitlines())
    assert (head["format"], pin["session_id"]) == ("sidecar-pins", "run-42")


async def test_a_large_table_is_listed_and_moved_over_whole(ask, tmp_path):
    path = tmp_path / "many.ndjson"
    head, pin = (await ask("export"))[1].splitlines()
    rows = [json.dumps(json.loads(pin) | {"session_id": f"run-{n:05}-{'x' * 200}"}) for n in range(3000)]
    path.write_text("\n".join([head, *rows]) + "\n")
    assert (await ask("import", path))[1] == "3,000 imported, 0 kept as they were, 0 refused\n"
    assert len(json.loads((await ask("list", "--limit", "5000", "--json"))[1])["pins"]) == 3001
    assert (await ask("export", tmp_path / "again.ndjson"))[1].startswith("3,001 pins in ")


async def test_import_keeps_what_is_there_unless_told_otherwise(ask, tmp_path):
    path = tmp_path / "pins.ndjson"
    await ask("export", path)
    await ask("set", "run-42", "openai/gpt-4o")
    assert (await ask("import", path))[1] == "0 imported, 1 kept as they were, 0 refused\n"
    assert (await ask("import", path, "--overwrite"))[1] == "1 imported, 0 kept as they were, 0 refused\n"
    assert "keeps anthropic/claude-sonnet." in (await ask("get", "run-42"))[1]


async def test_a_reader_that_goes_away_is_no_error_to_speak_of(at_work, sidecar):
    program = await sidecar("pins", "--admin", at_work.admin)
    program.close_output()
    errors = await program.process.stderr.read()
    assert (await program.process.wait(), errors) == (141, b"")


@pytest.mark.parametrize(
    "arguments",
    [("pins", "list", "--limit", "0"), ("pins", "nothing"), ("pins", "get"), ("top", "--interval", "nan")],
)
def test_wrong_usage_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert (ended.value.code, "usage: sidecar" in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize(
    "command", [["pins"], ["top"], ["doctor"], *(["pins", action] for action in ("list", "set", "import"))]
)
def test_each_command_explains_itself_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert (ended.value.code, f"example: sidecar {' '.join(command)}" in capsys.readouterr().out) == (0, True)


@pytest.fixture
def full_disk():
    with Path("/dev/full").open("wb") as file:
        yield file


@pytest.mark.parametrize("action", ["list", "export"])
async def test_a_full_disk_is_a_sentence(at_work, full_disk, action):
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar.cli", "pins", action, "--admin", at_work.admin, stdout=full_disk, stderr=PIPE
    )
    _, errors = await program.communicate()
    said = "sidecar: cannot write to standard output: No space left on device\n"
    assert (program.returncode, errors.decode()) == (1, said)
