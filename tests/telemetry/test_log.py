"""The application log, as a process of its own writes it: a line an event, and nothing that others may have quoted."""

import json
import re
import subprocess
import sys

import pytest

from sidecar.config.models import LogFormat

BEGIN = """
import logging
from sidecar.config.models import LogFormat
from sidecar.telemetry.log import set_up
log = logging.getLogger('sidecar.test')
"""
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def said(imported):
    """`said(story)`: what a program writes on standard error."""

    def tell(story, form=LogFormat.TEXT, level="info"):
        return imported.told(f"{BEGIN}set_up({level!r}, LogFormat({form.value!r}))\n{story}")[1]

    return tell


@pytest.fixture
def events(said):
    def tell(story, **more):
        return [json.loads(line) for line in said(story, LogFormat.JSON, **more).splitlines()]

    return tell


def test_text_is_a_line_with_time_level_logger_and_message(said):
    assert re.fullmatch(rf"{STAMP} WARNING sidecar\.test it is 3\n", said("log.warning('it is %d', 3)"))


def test_json_is_an_object_a_line_with_its_keys_in_order(said):
    [line] = said("log.error('it is %d', 3, extra={'trace': 'ab'})", LogFormat.JSON).splitlines()
    event = json.loads(line)
    assert re.fullmatch(STAMP, event["time"])
    assert list(event.items())[1:] == [
        ("level", "error"),
        ("logger", "sidecar.test"),
        ("message", "it is 3"),
        ("trace", "ab"),
    ]


def test_text_names_the_trace_too(said):
    assert said("log.error('odd', extra={'trace': 'ab'})").endswith(" sidecar.test odd trace=ab\n")


@pytest.mark.parametrize(("level", "heard"), [("debug", "deiw"), ("info", "eiw"), ("warning", "ew"), ("error", "e")])
def test_the_level_says_what_is_heard(events, level, heard):
    story = "log.debug('d'); log.info('i'); log.warning('w'); log.error('e')"
    assert "".join(sorted(event["message"] for event in events(story, level=level))) == heard


@pytest.mark.parametrize("form", LogFormat)
def test_nobody_can_write_a_line_of_their_own(said, form):
    forged = "x\\n2026-01-31T12:00:00.000Z INFO sidecar forged\\r\\x1b[2J\\u2028\\x85end"
    text = said(f"log.info('%s', '{forged}')", form)
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text


RAISES = """
def inner(prompt):
    raise KeyError(prompt)
try:
    try:
        inner('canary-prompt')
    except KeyError as exc:
        raise ValueError('canary-value') from exc
except ValueError:
    log.exception('unexpected')
"""


def test_an_exception_is_its_kind_its_causes_and_where_they_were_raised_but_no_message(said):
    text = said(RAISES)
    assert "canary" not in text
    assert text.index("    KeyError\n") < text.index("    ValueError\n")
    assert text.count("    Traceback (most recent call last):\n") == 2
    assert re.search(r'    File "<string>", line \d+, in inner\n', text)


def test_in_json_an_exception_is_one_string(events):
    [event] = events(RAISES)
    assert event["exception"].count("Traceback") == 2
    assert event["exception"].endswith("\nValueError")


def test_what_the_system_says_and_our_own_codes_are_told(events):
    story = """
from sidecar.errors import BodyTooLarge
for raised in (OSError(28, 'canary', 'canary'), BodyTooLarge('canary'), ExceptionGroup('canary', [KeyError('canary')])):
    try:
        raise raised
    except Exception:
        log.exception('odd')
"""
    kinds = [event["exception"].splitlines()[-1] for event in events(story)]
    assert kinds == [
        "OSError: No space left on device",
        "sidecar.errors.BodyTooLarge: body_too_large",
        "ExceptionGroup of KeyError",
    ]


def test_what_asyncio_tells_of_a_failed_task_does_not_quote_its_error(events):
    story = """
import asyncio, gc
async def fails(prompt):
    raise ValueError(prompt)
def calls_back(prompt):
    raise ValueError(prompt)
async def main():
    asyncio.get_running_loop().call_soon(calls_back, 'canary')
    task = asyncio.create_task(fails('canary'))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
asyncio.run(main())
"""
    told = events(story, level="debug")
    assert "canary" not in json.dumps(told)
    assert [event["message"] for event in told if event["level"] == "error"] == [
        "Exception in callback calls_back",
        "Task exception was never retrieved",
    ]
    assert all(event["exception"].endswith("ValueError") for event in told if event["level"] == "error")


def test_warnings_go_the_same_way(events):
    [event] = events("import warnings\nwarnings.warn('old', UserWarning)")
    assert (event["logger"], event["level"]) == ("py.warnings", "warning")
    assert "UserWarning: old" in event["message"]


@pytest.mark.parametrize(
    "story",
    [
        "raise ValueError('canary')",
        "import threading\ndef run():\n    raise ValueError('canary')\nthread = threading.Thread(target=run)\nthread.start()\nthread.join()",
        "class Odd:\n    def __del__(self):\n        raise ValueError('canary')\nOdd()",
    ],
)
def test_what_nobody_caught_goes_the_same_way(events, story):
    [event] = events(story)
    assert (event["level"], event["exception"].splitlines()[-1]) == ("critical", "ValueError")
    assert "canary" not in json.dumps(event)


def test_arguments_that_do_not_fit_are_not_told(said):
    text = said("log.info('%d of them', 'canary'); log.info('next')")
    assert "canary" not in text
    assert [line.split(" ", 3)[3] for line in text.splitlines()] == ["%d of them", "next"]


def test_a_closed_standard_error_stops_nobody():
    story = "import os\nos.close(2)\nlog.info('nobody hears it')\nprint('on')"
    program = f"{BEGIN}set_up('info')\n{story}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    assert ended.stdout == "on\n"
