"""The parts that `/ready?verbose` shows, and when each is well."""

from collections.abc import Callable

from sidecar.admin.clusters import key_word
from sidecar.admin.dump import InForce
from sidecar.admin.listeners import Listeners
from sidecar.admin.readiness import Part
from sidecar.routing.breaker import State


def parts(
    in_force: Callable[[], InForce],
    listeners: Listeners,
    circuit: Callable[[], State],
    pins: Callable[[], int],
    store: Part,
) -> dict[str, Part]:
    """`circuit`: the classifier's; `pins`: how many are known here now; `store`: how it is where they live."""

    def listener() -> tuple[bool, str]:
        place = listeners.place_of("listener")
        return place is not None, place or "closed"

    def classifier() -> tuple[bool, str]:
        return circuit() is State.CLOSED, f"{in_force().config.routing.classifier.type}, circuit {circuit()}"

    def table() -> tuple[bool, str]:
        return True, f"{pins()} of at most {in_force().config.routing.session_max_entries}"

    def keys() -> tuple[bool, str]:
        lacking = [each.name for each in in_force().config.providers if key_word(each) == "missing"]
        return not lacking, f"missing for {', '.join(lacking)}" if lacking else "all set"

    def config() -> tuple[bool, str]:
        return True, f"generation {in_force().generation}"

    return {
        "listener": listener,
        "classifier": classifier,
        "pins": table,
        "store": store,
        "keys": keys,
        "config": config,
    }
