"""Times are arguments: an hour passes in a microsecond."""

from sidecar.config.models import Breaker
from sidecar.routing.breaker import Circuit, State

SETTINGS = Breaker(failures=3, cooldown_s=30)


def opened(now=0.0):
    circuit = Circuit(SETTINGS)
    for _ in range(3):
        circuit.failed(circuit.enter(now), now)
    return circuit


def test_a_closed_circuit_lets_every_call_through_at_once():
    circuit = Circuit(SETTINGS)
    assert all(circuit.enter(0) is not None for _ in range(100))


def test_failures_in_a_row_open_it():
    circuit = Circuit(SETTINGS)
    seen = []
    for _ in range(3):
        circuit.failed(circuit.enter(0), 0)
        seen.append(circuit.state)
    assert seen == [State.CLOSED, State.CLOSED, State.OPEN]
    assert circuit.enter(0) is None


def test_a_success_begins_the_count_anew():
    circuit = Circuit(SETTINGS)
    for _ in range(10):
        circuit.failed(circuit.enter(0), 0)
        circuit.failed(circuit.enter(0), 0)
        circuit.succeeded(circuit.enter(0))
    assert circuit.state is State.CLOSED


def test_a_call_that_was_given_up_counts_neither_way():
    circuit = Circuit(SETTINGS)
    for _ in range(2):
        circuit.failed(circuit.enter(0), 0)
    circuit.abandoned(circuit.enter(0))
    circuit.failed(circuit.enter(0), 0)
    assert circuit.state is State.OPEN


def test_it_stays_open_until_the_cool_down_is_over():
    circuit = opened(now=100)
    assert circuit.enter(129.9) is None
    assert circuit.enter(130) is not None
    assert circuit.state is State.HALF_OPEN


def test_half_open_lets_exactly_one_call_through_at_a_time():
    circuit = opened()
    assert [circuit.enter(30) is not None for _ in range(5)] == [True, False, False, False, False]
    assert circuit.enter(3600) is None


def test_a_trial_that_succeeds_closes_it():
    circuit = opened()
    circuit.succeeded(circuit.enter(30))
    assert circuit.state is State.CLOSED
    assert circuit.enter(30) is not None


def test_a_trial_that_fails_opens_it_for_another_cool_down():
    circuit = opened()
    circuit.failed(circuit.enter(30), 31)
    assert circuit.state is State.OPEN
    assert circuit.enter(60.9) is None
    assert circuit.enter(61) is not None


def test_a_trial_that_was_given_up_makes_room_for_the_next():
    circuit = opened()
    circuit.abandoned(circuit.enter(30))
    assert circuit.enter(30) is not None
    assert circuit.enter(30) is None


def test_after_a_recovery_it_takes_as_many_failures_as_ever_to_open():
    circuit = opened()
    circuit.succeeded(circuit.enter(30))
    circuit.failed(circuit.enter(30), 30)
    circuit.failed(circuit.enter(30), 30)
    assert circuit.state is State.CLOSED


def test_a_straggler_from_before_can_neither_close_an_open_circuit_nor_fail_the_trial():
    circuit = Circuit(SETTINGS)
    early, late = circuit.enter(0), circuit.enter(0)
    for _ in range(3):
        circuit.failed(circuit.enter(0), 0)
    circuit.succeeded(early)
    assert circuit.state is State.OPEN
    trial = circuit.enter(30)
    circuit.failed(late, 30)
    circuit.abandoned(late)
    assert circuit.state is State.HALF_OPEN
    assert circuit.enter(30) is None
    circuit.succeeded(trial)
    assert circuit.state is State.CLOSED


def test_many_failures_of_one_burst_open_it_once():
    circuit = Circuit(SETTINGS)
    burst = [circuit.enter(0) for _ in range(20)]
    for ticket in burst:
        circuit.failed(ticket, 5)
    assert circuit.enter(34.9) is None
    circuit.succeeded(circuit.enter(35))
    assert circuit.state is State.CLOSED
