"""
What came of a request, and whose fault it is. Pure: a Wish and what was heard, in; an outcome, in words, out.

Outcomes that begin with `WRONG` are what must not be: nothing that the provider was told to do explains them.
"""

import time

from attrs import define, field

from .formats import streamed, text_of
from .wishes import WELL, told_in

OK, WRONG = "whole", "WRONG"
REFUSED_FIRST = "summaries"
"""The route whose first model nobody can connect to."""
REFUSED = "dead"
"""That model: mostly ejected, and then passed over. A request that releases its pin has no word left to say so."""
NEW = ("miss", "expired", "refresh")
"""What `x-sidecar-pin` says where a session's model is decided."""


def outcome(wish, form, *, stream, heard):
    """(outcome, Told or None). `heard`: a rawclient.Heard."""
    code = heard.one("x-sidecar-error")
    if heard.status != 200:
        # The second: one place refuses connections, the other failed as wished, and the third attempt was the last.
        # And where no route matched there is one candidate, which is not asked again after a 429 that does not say when.
        may_fail = wish.may_fail or (wish.fate != WELL and heard.one("x-sidecar-route") in {REFUSED_FIRST, "-"})
        if may_fail and (heard.status >= 500 or heard.status == 429) and heard.ending == "whole":
            return f"failed as wished: {heard.status}", None
        return f"{WRONG}: {heard.status} {code or heard.body[:80]!r} for {wish.fate}", None
    try:
        text, ended, failed = streamed(form, heard.body) if stream else (text_of(form, heard.body), True, False)
    except (ValueError, KeyError, IndexError, TypeError):
        text, ended, failed = "", False, False
    told, right = told_in(text)
    if told is not None and (told.id, told.session) != (wish.id, wish.session):
        return f"{WRONG}: the answer of {told.id} in {told.session}", told
    if told is not None and not (heard.one("x-sidecar-model") or "").endswith(f"/{told.model}"):
        return f"{WRONG}: {told.model} answered and {heard.one('x-sidecar-model')} was said", told
    if right and ended and not failed and heard.ending == "whole":
        return _rightly(wish, told), told
    return _broken(wish, heard, ended=ended, failed=failed), told


def _rightly(wish, told):
    if told.attempt <= wish.times:
        return f"{WRONG}: whole, though attempt {told.attempt} was to be {wish.fate}"
    return OK if told.attempt == 1 else f"{OK}, at attempt {told.attempt}"


def _broken(wish, heard, *, ended, failed):
    looks_whole = heard.ending == "whole" and ended and not failed
    if wish.may_fail and not looks_whole and heard.ending != "whole":
        return "cut as wished, and seen as cut"
    said = (
        f"ending {heard.ending}, last event {'came' if ended else 'missing'}, error {'told' if failed else 'not told'}"
    )
    return f"{WRONG}: {said}, for {wish.fate}: …{heard.body[-60:]!r}"


@define
class Session:
    """A session as its client sees it. `kept`: the model that its pin names, None where that is not known."""

    id: str
    kept: str | None = None
    changes: dict = field(factory=dict)
    history: list = field(factory=list)
    """What was said of the latest requests, for whoever looks into a wrong one."""

    def answered(self, model, pin, failover, *, release=False):
        """As `_answered`; with `release` the pin is gone after it, whatever the answer says besides."""
        self.history = [*self.history[-7:], f"{time.time():.2f} {pin} {model} {failover or ''}"]
        wrong = self._answered(model, pin, failover)
        if release:
            self.kept = None
        return wrong

    def _answered(self, model, pin, failover):
        """
        Takes up what an answer's headers say. None, or what is wrong with it: a session's model changes only where the
        answer says why. `pin`: the word before the semicolon.
        """
        if pin in {"moved", "model_gone"}:
            return self._changed(pin, model)
        if failover:
            self.changes["failed over"] = self.changes.get("failed over", 0) + 1
            self.kept = None if pin in NEW else self.kept  # whoever answered is not who was decided on
            return None
        if pin == "released":
            passed_over = self.kept == f"openai/{REFUSED}" != model
            wrong = None if passed_over else self._other(model, pin)
            return wrong or self._changed("released while passed over" if passed_over else pin, None)
        if pin in NEW and self.kept is not None:
            return f"{WRONG}: decided anew ({pin}), was {self.kept}"
        if self.kept is None:
            self.kept = model
            return None
        return self._other(model, pin)

    def _changed(self, why, model):
        self.changes[why] = self.changes.get(why, 0) + 1
        self.kept = model

    def _other(self, model, pin):
        if self.kept not in {None, model}:
            return f"{WRONG}: the session's model was {self.kept} and is {model}, pin {pin}"
        return None

    def refused(self, status, pin):
        """An answer that is none; for the history alone."""
        self.history = [*self.history[-7:], f"{time.time():.2f} {pin} {status}"]

    def unseen(self):
        """A request went unanswered: it may have made or moved the pin."""
        self.history = [*self.history[-7:], f"{time.time():.2f} unseen"]
        self.kept = None
