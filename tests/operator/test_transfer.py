"""Exports of pins to files, whole or not at all, and back."""

import json
import os
import stat

import pytest

from sidecar.operator.calling import NotASidecar, Refused
from sidecar.operator.transfer import BadFile, exported, imported, streamed

EXPORT = b'{"format":"sidecar-pins","version":1}\n{"session_id":"a"}\n{"session_id":"b"}\n'


def test_an_export_is_a_file_for_its_owner_only(admin, tmp_path):
    admin.answers["GET", "/pins/export"] = (200, EXPORT)
    path = tmp_path / "pins.ndjson"
    answer = exported(admin.port, path)
    assert path.read_bytes() == EXPORT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert answer.data == {"exported": 2, "file": str(path)}
    assert answer.lines == [f"2 pins in {path}"]


def test_an_export_that_fails_leaves_what_was_there(admin, tmp_path):
    path = tmp_path / "pins.ndjson"
    path.write_text("before")
    admin.answers["GET", "/pins/export"] = (503, {"error": {"code": "draining", "message": "stopping"}})
    with pytest.raises(Refused, match="stopping"):
        exported(admin.port, path)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("pins.ndjson", "before")]


@pytest.mark.parametrize("said", [b"<html>It works!</html>", b"{}", b""])
def test_what_another_program_says_is_no_export(admin, tmp_path, said):
    path = tmp_path / "pins.ndjson"
    path.write_text("before")
    admin.answers["GET", "/pins/export"] = (200, said)
    with pytest.raises(NotASidecar, match="gives no export of pins"):
        exported(admin.port, path)
    with pytest.raises(NotASidecar, match="gives no export of pins"):
        list(streamed(admin.port).raw)
    assert path.read_text() == "before"


def test_an_export_follows_a_link_and_leaves_it_one(admin, tmp_path):
    admin.answers["GET", "/pins/export"] = (200, EXPORT)
    link = tmp_path / "latest"
    link.symlink_to(tmp_path / "pins.ndjson")
    exported(admin.port, link)
    assert link.is_symlink()
    assert (tmp_path / "pins.ndjson").read_bytes() == EXPORT


def test_a_pipe_or_a_device_is_never_replaced_by_an_export(admin, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(BadFile, match="it is no ordinary file"):
            exported(admin.port, path)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_file_that_cannot_be_written_or_read_is_a_sentence(admin, tmp_path):
    with pytest.raises(BadFile, match=r"nowhere/x cannot be written: No such file"):
        exported(admin.port, tmp_path / "nowhere" / "x")
    with pytest.raises(BadFile, match="cannot be read: Is a directory"):
        imported(admin.port, tmp_path, overwrite=False)


def test_without_a_file_the_lines_come_as_they_are(admin):
    admin.answers["GET", "/pins/export"] = (200, EXPORT)
    assert b"".join(streamed(admin.port).raw) == EXPORT


def test_lines_that_an_import_refuses_are_told_and_end_it_with_1(admin, tmp_path):
    path = tmp_path / "pins.ndjson"
    path.write_bytes(EXPORT)
    refused = [{"line": n, "why": "no such model\x1b[2J"} for n in range(30)]
    admin.answers["POST", "/pins/import"] = (200, {"imported": 1, "kept": 2, "refused": refused})
    answer = imported(admin.port, path, overwrite=True)
    assert admin.asked[0][1:] == ("/pins/import?overwrite=true", EXPORT), "with its length, which the double goes by"
    assert (answer.code, json.loads(answer.shown(as_json=True))["refused"]) == (1, refused)
    assert answer.lines[:2] == ["1 imported, 2 kept as they were, 30 refused", "  line 0: no such model?[2J"]
    assert answer.lines[-1] == "  and 10 more: --json names them"


def test_an_import_counts_the_refused_lines_that_the_answer_does_not_tell_of(admin, tmp_path):
    path = tmp_path / "pins.ndjson"
    path.write_bytes(EXPORT)
    told = {"imported": 0, "kept": 0, "refused": [{"line": 2, "why": "expired"}], "refused_total": 4321}
    admin.answers["POST", "/pins/import"] = (200, told)
    answer = imported(admin.port, path, overwrite=False)
    assert answer.lines == [
        "0 imported, 0 kept as they were, 4,321 refused",
        "  line 2: expired",
        "  and 4,320 more: --json names the first 1",
    ]
