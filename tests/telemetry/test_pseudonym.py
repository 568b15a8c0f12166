"""What logs call a session."""

import re

from sidecar.routing.session import SessionKey
from sidecar.telemetry.pseudonym import Pseudonyms

SESSION = SessionKey("run-1")


def test_a_session_has_one_name_and_another_session_another():
    names = Pseudonyms("key")
    assert re.fullmatch("[0-9a-f]{16}", names.of(SESSION))
    assert names.of(SESSION) == names.of(SessionKey("run-1", source="x-model-affinity"))
    others = [SessionKey("run-2"), SessionKey("run-1", tenant="a"), SessionKey("run-1", lane="a")]
    assert names.of(SESSION) not in {names.of(other) for other in others}


def test_the_same_key_gives_the_same_names_everywhere_and_another_key_others():
    assert Pseudonyms("key").of(SESSION) == Pseudonyms("key").of(SESSION)
    assert Pseudonyms("key").of(SESSION) != Pseudonyms("other").of(SESSION)
    assert Pseudonyms("k" * 500).of(SESSION) != Pseudonyms("k" * 501).of(SESSION)


def test_without_a_key_nobody_can_compare_names_between_two_starts():
    assert Pseudonyms().of(SESSION) != Pseudonyms().of(SESSION)
