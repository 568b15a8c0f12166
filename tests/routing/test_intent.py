"""What is judged of a conversation."""

import time

import pytest

from sidecar.routing.intent import EARLIER_TURNS, GAP, LATEST_HEAD, LATEST_TAIL, Intent, intent_of
from sidecar.wire.conversation import Role, Turn


def user(text):
    return Turn(Role.USER, text)


def test_the_latest_user_turn_is_the_intent_and_what_came_before_is_kept_in_order():
    conversation = (
        Turn(Role.SYSTEM, "You are helpful."),
        user("Write a poem."),
        Turn(Role.ASSISTANT, "Roses are red."),
        user("Now in French."),
    )
    intent = intent_of(conversation)
    assert intent.latest == "Now in French."
    assert intent.earlier == (user("Write a poem."), Turn(Role.ASSISTANT, "Roses are red."))


def test_tool_results_after_the_wish_do_not_hide_it():
    conversation = (user("Fix the tests."), Turn(Role.ASSISTANT, ""), Turn(Role.TOOL, "3 failed"))
    assert intent_of(conversation) == Intent("Fix the tests.")


@pytest.mark.parametrize(
    ("sent", "wish"),
    [
        ("<system-reminder>\nToday is Monday.\n</system-reminder>\n\nAdd a flag.", "Add a flag."),
        ("Add a flag.\n<system-reminder>x</system-reminder>", "Add a flag."),
        ("Add <system-reminder>x</system-reminder>a flag.", "Add a flag."),
        ("<environment_context>\n  <cwd>/src</cwd>\n</environment_context>Add a flag.", "Add a flag."),
        ("# AGENTS.md instructions for /src\n\n<INSTRUCTIONS>\nBe kind.\n</INSTRUCTIONS>\nAdd a flag.", "Add a flag."),
        ("<user_instructions>\nBe kind.\n</user_instructions>\n\nAdd a flag.", "Add a flag."),
        ("<task>\nAdd a flag.\n</task>\n<environment_details>\n# Files\na.py\n</environment_details>", "Add a flag."),
        ("<command-name>/review</command-name><command-args>the last commit</command-args>", "the last commit"),
        ('<ide_selection file="a.py">x = 1</ide_selection> Explain this.', "Explain this."),
    ],
)
def test_what_a_harness_wraps_around_the_wish_is_gone(sent, wish):
    assert intent_of((user(sent),)).latest == wish


@pytest.mark.parametrize(
    "written", ["What does <b>this</b> do?", "why is <system-reminder> there?", "</task x", "a < b"]
)
def test_tags_that_the_user_wrote_stay(written):
    assert intent_of((user(written),)).latest == written


def test_a_turn_that_is_all_envelope_is_no_wish():
    conversation = (user("Add a flag."), user("<system-reminder>Files changed.</system-reminder>"))
    assert intent_of(conversation).latest == "Add a flag."


@pytest.mark.parametrize(
    "report", ["[read_file for 'a.py'] Result:\nx = 1", "This is the Qwen Code. We are setting up."]
)
def test_a_tools_result_under_the_users_name_is_no_wish(report):
    assert intent_of((user("Add a flag."), user(report))).latest == "Add a flag."


def test_a_long_message_keeps_its_head_and_its_tail():
    intent = intent_of((user("Summarize: " + "word " * 100_000 + "In two lines."),))
    assert intent.latest.startswith("Summarize: word")
    assert intent.latest.endswith("In two lines.")
    assert len(intent.latest) <= LATEST_HEAD + len(GAP) + LATEST_TAIL


def test_an_envelope_that_the_bound_cuts_is_gone_whole():
    reminder = "<system-reminder>" + "noise " * 20_000 + "</system-reminder>"
    intent = intent_of((user("Fix the bug." + " " + reminder + " Then the docs."),))
    assert intent.latest == f"Fix the bug.{GAP}Then the docs."


def test_what_came_before_is_bounded_too():
    conversation = tuple(user("x" * 10_000) for _ in range(50))
    intent = intent_of(conversation)
    assert len(intent.earlier) == EARLIER_TURNS
    assert sum(len(turn.text) for turn in intent.earlier) < EARLIER_TURNS * 1_100


@pytest.mark.parametrize(
    ("conversation", "wish"),
    [
        ((), ""),
        ((user(""), user("  \n ")), ""),
        ((Turn(Role.SYSTEM, "Translate."), Turn(Role.ASSISTANT, "Hello.")), "Hello."),
        ((Turn(Role.SYSTEM, "Translate."),), "Translate."),
        ((Turn(Role.TOOL, "42"), user("")), "42"),
    ],
)
def test_without_a_users_wish_something_sensible_is_judged(conversation, wish):
    assert intent_of(conversation).latest == wish


@pytest.mark.parametrize(
    "piece", ["a", " ", "<", "<system-reminder>", "</system-reminder>", "<task></task>", "[x", "\n", "é"]
)
def test_a_megabyte_of_anything_costs_milliseconds(piece):
    text = piece * (1_000_000 // len(piece))
    began = time.thread_time()
    intent_of((user(text),))
    assert time.thread_time() - began < 0.05  # about 1 ms on an idle machine; quadratic would be minutes
