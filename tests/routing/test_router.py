"""The way from a request to its decision, with a real table, real single flight, and a judge the test writes."""

import asyncio

import pytest
from attrs import define, field

from sidecar.config.catalog import Catalog
from sidecar.config.models import Config, Provider, Route, Routing
from sidecar.errors import ModelNotFound, RequestError
from sidecar.routing.ask import Ask, PinControl
from sidecar.routing.decision import Failover, Lookup, Pin, Reason
from sidecar.routing.pins import PinTable
from sidecar.routing.router import Router
from sidecar.routing.session import SessionKey
from sidecar.routing.verdict import NO_MATCH, Failure, Verdict
from sidecar.routing.watch import MoveReason
from sidecar.stores.flights import Flights
from sidecar.stores.memory import MemoryStore
from sidecar.wire.conversation import Role, Turn

CODE = Route("code", "writing code", ("anthropic/claude", "openai/gpt"))
PROSE = Route("prose", "writing prose", ("openai/gpt",))
SESSION = SessionKey("run-1")


@define
class Judge:
    """Answers with the route the prompt names; counts how often it was asked."""

    asked: int = 0
    verdict: Verdict | None = None
    gate: asyncio.Event | None = None

    async def __call__(self, intent, routes):
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.verdict is not None:
            return self.verdict
        return next((Verdict(route.name, 1.0) for route in routes if route.name in intent.latest), NO_MATCH)


@define
class Watch:
    """What becomes of pins, as it was told."""

    told: list = field(factory=list)

    def pin_created(self, pin):
        self.told.append(("created", pin.model))

    def pin_moved(self, pin, why, age_s, turns):
        self.told.append(("moved", pin.model, why, age_s, turns))

    def pin_removed(self, reason, age_s, turns):
        self.told.append(("removed", reason, age_s, turns))


@define
class World:
    """A router and everything around it; time is a number."""

    models: tuple[str, ...] = ("openai/mini", "openai/gpt", "anthropic/claude")
    default: str | None = "openai/mini"
    policy: Routing = field(factory=Routing)
    routes: tuple[Route, ...] = (CODE, PROSE)
    judge: Judge = field(factory=Judge)
    watch: Watch = field(factory=Watch)
    now: float = 0.0
    store: MemoryStore = field(default=None)
    router: Router = field(default=None)

    def __attrs_post_init__(self):
        if self.store is None:
            table = PinTable(ttl_s=600, capacity=1000, removed=self.watch.pin_removed)
            self.store = MemoryStore(table, lambda: self.now)
        providers = tuple(Provider(model, model, default=model == self.default) for model in self.models)
        catalog = Catalog.of(Config(providers=providers, aliases={"fast": "openai/mini"}, routes=self.routes))
        self.router = Router(
            catalog=catalog,
            routes=self.routes,
            policy=self.policy,
            pins=self.store,
            flights=Flights(),
            judge=self.judge,
            watch=self.watch,
        )

    async def ask(
        self,
        prompt,
        session=SESSION,
        *,
        model="openai/mini",
        control=None,
        preferences=tuple,
        parent=None,
        aside=False,
        after=(),
        waiting=(),
    ):
        """`after`: what comes after the prompt in the same conversation."""
        conversation = (Turn(Role.USER, prompt), *after)
        ask = Ask(model, lambda: conversation, session, control, preferences, parent, aside, waiting)
        return await self.router.route(ask, self.now)


async def test_without_a_session_every_request_is_routed_on_its_own():
    world = World()
    models = [(await world.ask(prompt, None)).model for prompt in ("code", "prose", "code")]
    assert models == ["anthropic/claude", "openai/gpt", "anthropic/claude"]
    assert world.judge.asked == 3


async def test_a_session_keeps_the_model_of_its_first_request():
    world = World()
    decisions = [await world.ask(prompt) for prompt in ("code", "prose", "neither")]
    assert [decision.model for decision in decisions] == ["anthropic/claude"] * 3
    assert [decision.pinned for decision in decisions] == [False, True, True]
    assert world.judge.asked == 1


async def test_a_pinned_decision_still_has_the_whole_ranked_list_and_the_route():
    world = World()
    await world.ask("code")
    pinned = await world.ask("prose")
    assert (pinned.candidates, pinned.route, pinned.reason) == (CODE.models, "code", Reason.PINNED)


async def test_on_a_pinned_request_nobody_reads_the_conversation_the_model_or_the_preferences():
    world = World()
    await world.ask("code")

    def explode():
        raise AssertionError("this must not be read")

    pinned = await world.router.route(Ask("no/such", explode, SESSION, None, explode), 0)
    assert pinned.model == "anthropic/claude"


async def test_two_sessions_are_pinned_apart():
    world = World()
    assert (await world.ask("code", SessionKey("a"))).model == "anthropic/claude"
    assert (await world.ask("prose", SessionKey("b"))).model == "openai/gpt"
    assert (await world.ask("prose", SessionKey("a"))).model == "anthropic/claude"


async def test_a_session_that_fell_silent_for_its_time_to_live_is_routed_anew():
    world = World()
    await world.ask("code")
    world.now = 600
    anew = await world.ask("prose")
    assert (anew.model, anew.pinned, anew.lookup) == ("openai/gpt", False, Lookup.EXPIRED)


async def test_200_parallel_first_requests_make_one_classification_one_model_and_one_pin():
    world = World(judge=Judge(gate=asyncio.Event()))
    asks = [asyncio.ensure_future(world.ask("code" if n % 2 else "prose")) for n in range(200)]
    await asyncio.sleep(0)
    world.judge.gate.set()
    decisions = await asyncio.gather(*asks)
    assert world.judge.asked == 1
    assert {decision.model for decision in decisions} == {"openai/gpt"}
    assert [decision.pinned for decision in decisions].count(False) == 1
    assert await world.store.count() == 1


async def test_200_parallel_sessions_make_200_classifications_each_right():
    world = World()
    prompts = {f"s{n}": ("code", "prose")[n % 2] for n in range(200)}
    decisions = await asyncio.gather(*(world.ask(prompt, SessionKey(name)) for name, prompt in prompts.items()))
    assert [decision.route for decision in decisions] == list(prompts.values())
    assert world.judge.asked == 200


async def test_a_leader_that_hangs_up_does_not_take_the_others_decision_along():
    world = World(judge=Judge(gate=asyncio.Event()))
    leader = asyncio.ensure_future(world.ask("code"))
    await asyncio.sleep(0)
    follower = asyncio.ensure_future(world.ask("prose"))
    await asyncio.sleep(0)
    leader.cancel()
    await asyncio.sleep(0)
    world.judge.gate.set()
    assert (await follower).model == "anthropic/claude"
    assert world.judge.asked == 1


async def test_a_first_request_that_is_refused_does_not_refuse_those_that_came_with_it():
    world = World(default=None, judge=Judge(gate=asyncio.Event()))
    bad = asyncio.ensure_future(world.ask("neither", model="no/such"))
    await asyncio.sleep(0)
    good = asyncio.ensure_future(world.ask("code"))
    await asyncio.sleep(0)
    world.judge.gate.set()
    with pytest.raises(ModelNotFound):
        await bad
    assert (await good).model == "anthropic/claude"


async def test_when_another_replica_claims_first_its_model_is_reported():
    class Elsewhere(MemoryStore):
        async def claim(self, key, pin):
            await super().claim(key, Pin(("openai/gpt",), "prose", Reason.ROUTED, 0.0))
            return await super().claim(key, pin)

    world = World(store=Elsewhere(PinTable(ttl_s=600, capacity=10), lambda: 0))
    lost = await world.ask("code")
    assert (lost.model, lost.route, lost.pinned) == ("openai/gpt", "prose", True)


async def test_a_session_that_matched_no_route_is_pinned_to_the_model_that_answered():
    world = World()
    first = await world.ask("neither", model="fast")
    later = await world.ask("code")
    assert (first.model, first.route, first.reason) == ("openai/mini", None, Reason.NO_MATCH)
    assert (later.model, later.pinned) == ("openai/mini", True)


async def test_with_pin_unmatched_off_such_a_session_is_routed_again():
    world = World(policy=Routing(pin_unmatched=False))
    first = await world.ask("neither")
    later = await world.ask("code")
    assert (first.expires_in_s, later.model, later.pinned) == (None, "anthropic/claude", False)


async def test_with_pin_unmatched_off_those_who_waited_are_routed_by_their_own_words():
    world = World(policy=Routing(pin_unmatched=False), judge=Judge(gate=asyncio.Event()))
    asks = [asyncio.ensure_future(world.ask(prompt)) for prompt in ("neither", "code")]
    await asyncio.sleep(0)
    world.judge.gate.set()
    assert [decision.model for decision in await asyncio.gather(*asks)] == ["openai/mini", "anthropic/claude"]


@pytest.mark.parametrize("failure", Failure)
async def test_a_classifier_that_fails_leaves_the_request_its_own_model_and_says_why(failure):
    world = World(judge=Judge(verdict=Verdict(failure=failure)))
    decision = await world.ask("code", model="openai/gpt")
    assert (decision.model, decision.reason.value) == ("openai/gpt", failure.value)


async def test_a_session_whose_first_verdict_failed_keeps_the_model_that_answered():
    world = World(judge=Judge(verdict=Verdict(failure=Failure.TIMEOUT)))
    await world.ask("code", model="openai/gpt")
    world.judge.verdict = None
    assert (await world.ask("code")).model == "openai/gpt"


async def test_an_unknown_model_gets_the_default():
    assert (await World().ask("neither", model="no/such")).model == "openai/mini"


async def test_a_missing_model_gets_the_default():
    assert (await World().ask("neither", model=None)).model == "openai/mini"


async def test_without_a_default_an_unknown_model_is_not_found():
    with pytest.raises(ModelNotFound):
        await World(default=None).ask("neither", model="no/such")


async def test_without_a_default_a_missing_model_is_the_clients_mistake():
    with pytest.raises(RequestError) as refusal:
        await World(default=None).ask("neither", model=None)
    assert refusal.value.param == "model"


async def test_a_refused_request_leaves_no_pin():
    world = World(default=None)
    with pytest.raises(ModelNotFound):
        await world.ask("neither", model="no/such")
    assert await world.store.count() == 0


async def test_without_routes_nobody_is_asked():
    world = World(routes=())
    assert (await world.ask("code")).reason is Reason.NO_ROUTES
    assert world.judge.asked == 0


async def test_inline_preferences_override_the_configured_routes_for_that_request():
    world = World()
    inline = (Route("code", "theirs", ("openai/gpt",)),)
    assert (await world.ask("code", None, preferences=lambda: inline)).model == "openai/gpt"
    assert (await world.ask("code", None)).model == "anthropic/claude"


async def test_refresh_routes_anew_and_pins_again():
    world = World()
    await world.ask("code")
    refreshed = await world.ask("prose", control=PinControl.REFRESH)
    later = await world.ask("code")
    assert (refreshed.model, refreshed.pinned, refreshed.lookup) == ("openai/gpt", False, Lookup.REFRESH)
    assert (later.model, later.pinned) == ("openai/gpt", True)


async def test_a_refresh_that_nobody_could_judge_keeps_the_model():
    world = World()
    await world.ask("code")
    world.judge.verdict = Verdict(failure=Failure.ERROR)
    kept = await world.ask("prose", control=PinControl.REFRESH)
    assert (kept.model, kept.pinned, kept.reason) == ("anthropic/claude", True, Reason.CLASSIFIER_ERROR)


async def test_a_refresh_to_no_match_forgets_the_pin_when_unmatched_sessions_are_not_pinned():
    world = World(policy=Routing(pin_unmatched=False))
    await world.ask("code")
    assert (await world.ask("neither", control=PinControl.REFRESH)).model == "openai/mini"
    assert await world.store.count() == 0


async def test_bypass_neither_reads_a_pin_nor_makes_one():
    world = World()
    await world.ask("code")
    assert (await world.ask("prose", control=PinControl.BYPASS)).model == "openai/gpt"
    assert (await world.ask("prose")).model == "anthropic/claude"
    await world.ask("prose", SessionKey("new"), control=PinControl.BYPASS)
    assert await world.store.count() == 1


async def test_routing_applies_only_to_the_models_it_is_told_to():
    world = World(policy=Routing(apply_to=("auto", "fast")))
    explicit = await world.ask("code", model="openai/gpt")
    assert (explicit.model, explicit.reason) == ("openai/gpt", Reason.NOT_APPLIED)
    assert await world.store.count() == 0
    names = ("auto", "fast", "openai/mini", None)  # openai/mini is what fast stands for
    assert {(await world.ask("code", None, model=name)).model for name in names} == {"anthropic/claude"}


async def test_an_explicit_model_wins_even_in_a_pinned_session_when_routing_does_not_apply_to_it():
    world = World(policy=Routing(apply_to=("auto",)))
    await world.ask("code", model="auto")
    assert (await world.ask("code", model="openai/gpt")).model == "openai/gpt"
    assert (await world.ask("prose", model="auto")).model == "anthropic/claude"


async def test_a_pin_never_outlives_its_model():
    before = World()
    await before.ask("code")
    after = World(models=("openai/mini", "openai/gpt"), routes=(PROSE,), store=before.store)
    anew = await after.ask("prose")
    later = await after.ask("prose")
    assert (anew.model, anew.reason, anew.lookup) == ("openai/gpt", Reason.MODEL_GONE, Lookup.MODEL_GONE)
    assert (later.model, later.reason) == ("openai/gpt", Reason.PINNED)


async def test_parallel_requests_of_a_session_whose_model_is_gone_agree_on_one_new_model():
    before = World()
    await before.ask("code")
    after = World(models=("openai/mini", "openai/gpt"), routes=(PROSE,), store=before.store)
    after.judge.gate = asyncio.Event()
    asks = [asyncio.ensure_future(after.ask("prose")) for _ in range(20)]
    await asyncio.sleep(0)
    after.judge.gate.set()
    assert {decision.model for decision in await asyncio.gather(*asks)} == {"openai/gpt"}
    assert after.judge.asked == 1


async def test_a_lower_candidate_that_is_gone_is_left_out_and_the_pin_stays():
    before = World()
    await before.ask("code")
    after = World(models=("openai/mini", "anthropic/claude"), routes=(), store=before.store)
    assert (await after.ask("prose")).candidates == ("anthropic/claude",)


async def test_each_request_of_a_session_says_what_it_found():
    world = World()
    found = [(await world.ask("code")).lookup, (await world.ask("code")).lookup]
    for world.now in (600, 5000):
        found.append((await world.ask("code")).lookup)
    assert found == [Lookup.MISS, Lookup.HIT, Lookup.EXPIRED, Lookup.MISS]
    assert (await world.ask("code", None)).lookup is Lookup.NONE


async def test_a_pin_knows_who_named_the_session_and_how_sure_the_classifier_was():
    scores = (("code", 0.9), ("prose", 0.3), ("a", 0.2), ("b", 0.1))
    world = World(judge=Judge(verdict=Verdict("code", 0.9, scores)))
    await world.ask("code", SessionKey("a", source="session-id"))
    pin = (await world.store.peek(SessionKey("a"))).pin
    assert (pin.source, pin.confidence, pin.scores) == ("session-id", 0.9, scores[:3])


async def test_a_pin_made_without_a_verdict_claims_none():
    world = World(judge=Judge(verdict=Verdict(failure=Failure.TIMEOUT)))
    assert (await world.ask("code")).pin_now.confidence is None


async def test_whoever_watches_hears_of_each_pin_that_is_made_moved_and_removed():
    world = World()
    first = await world.ask("code")
    world.now = 5.0
    await world.router.repin(SESSION, first, ("openai/gpt",), world.now, MoveReason.PROVIDER_EJECTED)
    world.now = 7.0
    await world.ask("code", control=PinControl.REFRESH)
    world.now = 607.0
    await world.ask("prose")
    assert world.watch.told == [
        ("created", "anthropic/claude"),
        ("moved", "openai/gpt", MoveReason.PROVIDER_EJECTED, 5.0, 1),
        ("moved", "anthropic/claude", MoveReason.REFRESH, 2.0, 2),
        ("removed", "expired", 600.0, 2),
        ("created", "openai/gpt"),
    ]


async def test_a_refresh_to_the_same_model_is_no_move_and_one_without_a_pin_makes_one():
    world = World()
    await world.ask("code", control=PinControl.REFRESH)
    await world.ask("code", control=PinControl.REFRESH)
    assert world.watch.told == [("created", "anthropic/claude")]


async def test_a_refresh_that_forgets_the_pin_is_a_removal():
    world = World(policy=Routing(pin_unmatched=False))
    await world.ask("code")
    await world.ask("neither", control=PinControl.REFRESH)
    assert world.watch.told[1:] == [("removed", "deleted", 0.0, 2)]


async def test_a_pin_whose_model_is_gone_is_a_move():
    before = World()
    await before.ask("code")
    after = World(models=("openai/mini", "openai/gpt"), routes=(PROSE,), store=before.store)
    await after.ask("prose")
    assert after.watch.told == [("moved", "openai/gpt", MoveReason.MODEL_GONE, 0.0, 2)]


async def test_a_move_that_came_too_late_is_not_told():
    world = World()
    first = await world.ask("code")
    assert await world.router.repin(SESSION, first, ("openai/gpt",), 1.0)
    assert not await world.router.repin(SESSION, first, ("openai/mini",), 1.0)
    assert len(world.watch.told) == 2


async def test_200_parallel_first_requests_make_one_pin_that_is_told_of_once():
    world = World()
    await asyncio.gather(*(world.ask("code") for _ in range(200)))
    assert world.watch.told == [("created", "anthropic/claude")]


async def test_a_failover_is_seen_beside_the_pin_and_changes_nothing_about_it():
    world = World()
    first = await world.ask("code")
    failover = Failover(1.0, "refused", "openai/gpt")
    await world.router.note_failover(SESSION, failover)
    await world.router.mix(SESSION, first)
    held = await world.store.peek(SESSION)
    assert (held.last_failover, held.pin.mixed, held.pin.model) == (failover, True, first.model)


async def test_a_preview_says_what_would_be_decided_and_leaves_no_trace():
    world, judge = World(), Judge()
    ask = Ask("openai/mini", lambda: (Turn(Role.USER, "code"),), SESSION)
    told = await world.router.preview(ask, judge)
    assert (told.model, told.route, told.pinned, told.lookup) == ("anthropic/claude", "code", False, Lookup.MISS)
    assert (world.judge.asked, judge.asked, await world.store.count(), world.watch.told) == (0, 1, 0, [])


async def test_a_preview_for_a_pinned_session_is_its_pin_which_is_not_used_by_that():
    world, judge = World(), Judge()
    await world.ask("code")
    world.now = 599.0
    told = await world.router.preview(Ask(None, lambda: (Turn(Role.USER, "prose"),), SESSION), judge)
    assert (told.model, told.pinned, told.expires_in_s, judge.asked) == ("anthropic/claude", True, 1.0, 0)
    world.now = 600.0
    assert (await world.ask("prose")).lookup is Lookup.EXPIRED


async def test_a_preview_knows_a_pin_whose_model_is_gone_and_a_model_that_routing_leaves_alone():
    before = World()
    await before.ask("code")
    policy = Routing(apply_to=("auto",))
    after = World(models=("openai/mini", "openai/gpt"), routes=(PROSE,), store=before.store, policy=policy)
    prose = lambda: (Turn(Role.USER, "prose"),)  # noqa: E731 - an Ask takes a callable
    gone = await after.router.preview(Ask("auto", prose, SESSION), after.judge)
    left = await after.router.preview(Ask("openai/gpt", prose, SESSION), after.judge)
    assert (gone.model, gone.reason, left.reason) == ("openai/gpt", Reason.MODEL_GONE, Reason.NOT_APPLIED)
    assert (await before.store.peek(SESSION)).pin.model == "anthropic/claude"


# Side calls


async def test_a_side_call_is_routed_on_its_own_and_makes_no_pin():
    world = World()
    title = await world.ask("prose", aside=True)
    assert (title.model, title.reason, title.lookup) == ("openai/gpt", Reason.ROUTED, Lookup.SIDE_CALL)
    assert (title.pinned, title.pin_now, title.expires_in_s, await world.store.count()) == (False, None, None, 0)
    assert (await world.ask("code")).lookup is Lookup.MISS


@pytest.mark.parametrize("control", [None, *PinControl])
async def test_a_side_call_leaves_a_pin_as_it_is_whatever_its_header_asks_for(control):
    world = World()
    await world.ask("code")
    before = await world.store.peek(SESSION)
    world.now = 60.0
    title = await world.ask("prose", aside=True, control=control)
    assert (title.model, title.lookup) == ("openai/gpt", Lookup.SIDE_CALL)
    after = await world.store.peek(SESSION)
    assert (after.pin, after.turns, after.expires_in_s) == (before.pin, 1, 540.0)


async def test_a_side_call_does_not_wait_for_the_first_request_of_its_session_nor_that_one_for_it():
    world = World(judge=Judge(gate=asyncio.Event()))
    asks = [asyncio.ensure_future(world.ask("prose", aside=True)), asyncio.ensure_future(world.ask("code"))]
    for _ in range(10):
        await asyncio.sleep(0)
    assert world.judge.asked == 2
    world.judge.gate.set()
    assert [decision.model for decision in await asyncio.gather(*asks)] == ["openai/gpt", "anthropic/claude"]
    assert (await world.store.peek(SESSION)).pin.model == "anthropic/claude"


async def test_a_side_call_that_failed_over_moves_nothing():
    world = World()
    await world.ask("code")
    title = await world.ask("prose", aside=True)
    assert not await world.router.repin(SESSION, title, ("openai/mini",), 1.0)
    await world.router.mix(SESSION, title)
    assert (await world.store.peek(SESSION)).pin == Pin(
        CODE.models, "code", Reason.ROUTED, 0.0, source="x-session-id", confidence=1.0
    )


CHILD = SessionKey("run-1", lane="a1")


async def test_a_side_call_evicts_nobody_and_inherits_nothing():
    watch = Watch()
    table = PinTable(ttl_s=600, capacity=1, removed=watch.pin_removed)
    world = World(watch=watch, store=MemoryStore(table, lambda: 0.0))
    await world.ask("code")
    titles = [await world.ask("prose", SessionKey(f"s{n}"), aside=True) for n in range(10)]
    titles.append(await world.ask("prose", CHILD, parent=SESSION, aside=True))
    assert {(title.model, title.pinned) for title in titles} == {("openai/gpt", False)}
    assert ((await world.store.peek(SESSION)).turns, world.watch.told) == (1, [("created", "anthropic/claude")])


# Lanes


async def test_lanes_of_one_session_are_pinned_apart():
    world = World()
    assert (await world.ask("code")).model == "anthropic/claude"
    assert (await world.ask("prose", CHILD)).model == "openai/gpt"
    assert (await world.ask("prose")).model == "anthropic/claude"


async def test_a_lane_begins_with_its_parents_pin_and_no_classifier_is_asked():
    world = World()
    await world.ask("code")
    world.now = 30.0
    began = await world.ask("prose", CHILD, parent=SESSION)
    assert (began.model, began.route, began.pinned, began.reason) == ("anthropic/claude", "code", True, Reason.PINNED)
    assert (began.lookup, began.expires_in_s, world.judge.asked) == (Lookup.HIT, 600.0, 1)
    held = await world.store.peek(CHILD)
    assert (held.pin.route, held.pin.decided_at_s, held.turns) == ("code", 0.0, 1)
    assert world.watch.told == [("created", "anthropic/claude")] * 2


async def test_a_parent_that_waits_for_its_sub_agent_lives_on_from_there():
    world = World()
    await world.ask("code")
    world.now = 500.0
    await world.ask("prose", CHILD, parent=SESSION)
    world.now = 1000.0
    assert (await world.ask("prose")).lookup is Lookup.HIT


async def test_what_becomes_of_one_lane_does_not_touch_the_other():
    world = World()
    await world.ask("code")
    await world.ask("prose", CHILD, parent=SESSION)
    await world.ask("prose", CHILD, parent=SESSION, control=PinControl.REFRESH)
    assert (await world.ask("neither")).model == "anthropic/claude"
    assert (await world.ask("neither", CHILD, parent=SESSION)).model == "openai/gpt"


async def test_what_was_under_way_when_a_session_was_released_does_not_bring_its_pin_back():
    world = World()
    under_way = await world.ask("code")
    await world.ask("code", control=PinControl.RELEASE)
    await world.router.mix(SESSION, under_way)
    assert not await world.router.repin(SESSION, under_way, ("openai/gpt",), now=1)
    assert (await world.ask("prose")).lookup is Lookup.MISS


async def test_whoever_waits_keeps_its_model_however_long_the_sub_agent_works():
    world = World()
    await world.ask("code")
    for world.now in range(0, 3600, 45):
        await world.ask("prose", CHILD, waiting=(SESSION,))
    assert (await world.ask("prose")).model == "anthropic/claude"


async def test_who_waits_without_a_pin_is_given_none():
    world = World()
    await world.ask("code", CHILD, waiting=(SESSION,))
    assert (await world.ask("prose")).lookup is Lookup.MISS


async def test_a_lane_whose_parent_has_no_pin_or_a_dead_one_is_routed_by_itself():
    world = World()
    assert (await world.ask("prose", CHILD, parent=SESSION)).lookup is Lookup.MISS
    before = World()
    await before.ask("code")
    after = World(models=("openai/mini", "openai/gpt"), routes=(PROSE,), store=before.store)
    began = await after.ask("prose", CHILD, parent=SESSION)
    assert (began.model, began.lookup) == ("openai/gpt", Lookup.MISS)


async def test_parallel_first_requests_of_a_lane_take_the_pin_over_once():
    world = World()
    await world.ask("code")
    began = await asyncio.gather(*(world.ask("prose", CHILD, parent=SESSION) for _ in range(20)))
    assert {(decision.model, decision.pinned) for decision in began} == {("anthropic/claude", True)}
    assert world.watch.told == [("created", "anthropic/claude")] * 2


# The user's turns

STEP = (Turn(Role.ASSISTANT, "I look"), Turn(Role.TOOL, "ok"))
BY_TURNS = Routing(route_on_user_only=True)


async def test_routed_by_turns_the_steps_of_a_turn_keep_its_model_and_new_words_are_routed_anew():
    world = World(policy=BY_TURNS)
    first = await world.ask("code")
    step = await world.ask("code", after=STEP)
    second = await world.ask("code", after=(*STEP, Turn(Role.USER, "prose")))
    step_again = await world.ask("code", after=(*STEP, Turn(Role.USER, "prose"), *STEP))
    seen = [(decision.model, decision.lookup, decision.pinned) for decision in (first, step, second, step_again)]
    assert seen == [
        ("anthropic/claude", Lookup.MISS, False),
        ("anthropic/claude", Lookup.HIT, True),
        ("openai/gpt", Lookup.TURN, False),
        ("openai/gpt", Lookup.HIT, True),
    ]
    assert world.judge.asked == 2
    assert world.watch.told[1:] == [("moved", "openai/gpt", MoveReason.TURN, 0.0, 3)]


async def test_routed_by_turns_a_session_that_fell_silent_in_mid_turn_is_routed_by_what_its_user_said_last():
    world = World(policy=BY_TURNS)
    await world.ask("code")
    world.now = 600.0
    step = await world.ask("code", after=STEP)
    assert (step.model, step.lookup) == ("anthropic/claude", Lookup.EXPIRED)


async def test_routed_by_turns_a_classifier_that_fails_changes_no_model():
    world = World(policy=BY_TURNS)
    await world.ask("code")
    world.judge.verdict = Verdict(failure=Failure.TIMEOUT)
    kept = await world.ask("prose")
    assert (kept.model, kept.pinned, kept.reason) == ("anthropic/claude", True, Reason.CLASSIFIER_TIMEOUT)
    assert (await world.store.peek(SESSION)).pin.route == "code"


async def test_routed_by_turns_parallel_requests_of_one_turn_get_one_model():
    world = World(policy=BY_TURNS)
    await world.ask("code")
    world.judge.gate = asyncio.Event()
    asks = [asyncio.ensure_future(world.ask("prose")) for _ in range(20)]
    await asyncio.sleep(0)
    world.judge.gate.set()
    assert {decision.model for decision in await asyncio.gather(*asks)} == {"openai/gpt"}
    assert world.judge.asked == 2


async def test_routed_by_turns_a_preview_of_new_words_does_not_show_the_pin():
    world, judge = World(policy=BY_TURNS), Judge()
    await world.ask("code")
    said = (Turn(Role.USER, "prose"),)
    told = await world.router.preview(Ask(None, lambda: said, SESSION), judge)
    assert (told.model, told.pinned, told.lookup) == ("openai/gpt", False, Lookup.TURN)
    told = await world.router.preview(Ask(None, lambda: (*said, *STEP), SESSION), judge)
    assert (told.model, told.pinned) == ("anthropic/claude", True)


# Release


async def test_release_is_answered_by_the_pin_which_then_is_no_more():
    world = World()
    await world.ask("code")
    last = await world.ask("prose", control=PinControl.RELEASE)
    assert (last.model, last.pinned, last.reason) == ("anthropic/claude", True, Reason.PINNED)
    assert (last.lookup, last.expires_in_s) == (Lookup.RELEASED, None)
    assert world.watch.told[1:] == [("removed", "deleted", 0.0, 2)]
    assert (await world.ask("prose")).lookup is Lookup.MISS


async def test_release_without_a_pin_is_routed_and_makes_none():
    world = World()
    last = await world.ask("prose", control=PinControl.RELEASE)
    assert (last.model, last.pinned, last.lookup) == ("openai/gpt", False, Lookup.RELEASED)
    assert await world.store.count() == 0


async def test_release_of_a_pin_whose_model_is_gone_is_routed_and_the_pin_is_no_more():
    before = World()
    await before.ask("code")
    after = World(models=("openai/mini", "openai/gpt"), routes=(PROSE,), store=before.store)
    last = await after.ask("prose", control=PinControl.RELEASE)
    assert (last.model, last.lookup, await after.store.count()) == ("openai/gpt", Lookup.RELEASED, 0)


async def test_release_ends_its_own_lane_only():
    world = World()
    await world.ask("code")
    await world.ask("code", CHILD, parent=SESSION)
    await world.ask("code", CHILD, control=PinControl.RELEASE)
    assert (await world.store.peek(CHILD), (await world.store.peek(SESSION)).pin.route) == (None, "code")


async def test_a_released_pin_does_not_come_back_when_its_last_request_fails_over():
    world = World()
    await world.ask("code")
    last = await world.ask("code", control=PinControl.RELEASE)
    assert not await world.router.repin(SESSION, last, ("openai/gpt",), 1.0)
    await world.router.mix(SESSION, last)
    assert await world.store.count() == 0


async def test_the_last_decision_still_says_that_several_providers_have_answered():
    world = World()
    first = await world.ask("code")
    await world.router.mix(SESSION, first)
    assert (await world.ask("code", control=PinControl.RELEASE)).pin_now.mixed


# Other processes, and conversations that changed their head


@define
class Elsewhere(MemoryStore):
    """As if another process led: it has pinned the session by the time it is asked."""

    table: PinTable = field(factory=lambda: PinTable(ttl_s=600, capacity=10))
    pinned: Pin | None = None
    resigned: int = 0

    def __attrs_post_init__(self):
        super().__init__(self.table, lambda: 0.0)

    async def lead(self, key):
        return None if self.pinned is None else await self.claim(key, self.pinned)

    async def resign(self, key):
        self.resigned += 1


THEIRS = Pin(("openai/gpt",), "prose", Reason.ROUTED, 0.0)


async def test_what_another_process_has_decided_meanwhile_holds_and_nobody_is_asked():
    world = World(store=Elsewhere(pinned=THEIRS))
    decision = await world.ask("code")
    assert (decision.model, decision.pinned, decision.lookup) == ("openai/gpt", True, Lookup.HIT)
    assert world.judge.asked == 0


async def test_a_model_that_another_process_offers_and_this_one_does_not_is_gone():
    world = World(store=Elsewhere(pinned=Pin(("x/gone",), None, Reason.ROUTED, 0.0)))
    decision = await world.ask("code")
    assert (decision.model, decision.reason) == ("anthropic/claude", Reason.MODEL_GONE)


async def test_whoever_leads_resigns_when_nothing_is_pinned():
    world = World(store=Elsewhere(), policy=Routing(pin_unmatched=False))
    await world.ask("neither")
    await world.ask("code")
    assert world.store.resigned == 1
    world = World(store=Elsewhere(), default=None)
    with pytest.raises(ModelNotFound):
        await world.ask("neither", model="no/such")
    assert world.store.resigned == 1


async def test_a_conversation_that_changed_its_head_says_so_and_is_pinned_anew():
    world = World()
    drifted = SessionKey("head-2", drifted=True)
    anew, later = await world.ask("code", drifted), await world.ask("prose", drifted)
    assert (anew.model, anew.lookup, anew.reason) == (
        "anthropic/claude",
        Lookup.PREFIX_CHANGED,
        Reason.PREFIX_CHANGED,
    )
    assert (later.model, later.lookup) == ("anthropic/claude", Lookup.HIT)
