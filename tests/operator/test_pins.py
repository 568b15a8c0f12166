"""`sidecar pins`, where the admin port takes its time; what it prints is in tests/e2e/test_cli_pins.py."""

import threading

import pytest
from attrs import evolve

from sidecar.operator.calling import Silent
from sidecar.operator.pins import _WHY, listed, moved
from sidecar.operator.tables import Look
from sidecar.operator.transfer import imported
from sidecar.routing.decision import Reason

NEVER_A_PINS = {Reason.PINNED, Reason.NOT_APPLIED}


class Late(dict):
    """Answers that come when the caller has long been impatient."""

    def get(self, key, default=None):
        threading.Event().wait(0.3)
        return super().get(key, default)


@pytest.fixture
def slow(admin):
    admin.answers = Late(admin.answers)
    return evolve(admin.port, timeout_s=0.05)


def test_a_change_of_many_pins_is_waited_for(slow, admin, tmp_path):
    path = tmp_path / "pins.ndjson"
    path.write_bytes(b"{}\n")
    admin.answers["POST", "/pins/move"] = (200, {"moved": 100_000})
    admin.answers["POST", "/pins/import"] = (200, {"imported": 7, "kept": 0, "refused": []})
    assert moved(slow, "a/b", "a/c").lines == ["100,000 sessions moved from a/b to a/c"]
    assert imported(slow, path, overwrite=False).lines == ["7 imported, 0 kept as they were, 0 refused"]


def test_a_look_is_given_up_sooner(slow):
    with pytest.raises(Silent):
        listed(slow, Look(), 1)


def test_every_reason_that_a_pin_can_have_is_told_in_words():
    assert _WHY.keys() == {reason.value for reason in Reason} - NEVER_A_PINS
