"""What an answer says of itself is read while it goes by, in every packing, under any cut, and at little cost."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.translate.streams.recorded import recording

from sidecar.wire.account import Account
from sidecar.wire.formats import Format
from sidecar.wire.taps import UNPACKED_BYTES, WHOLE_BYTES, WholeTap, account_of, read_whole, tap_for
from sidecar.wire.translate.neutral import Usage

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
CHAT_USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}}
MESSAGES_USAGE = {"input_tokens": 2, "cache_read_input_tokens": 5, "output_tokens": 3}
RESPONSES_USAGE = {"input_tokens": 7, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 5}}
SPENT = Usage(7, 3, 5)


def whole(**more):
    return json.dumps(more).encode()


CHAT = whole(
    id="c", model="m-1", choices=[{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}], usage=CHAT_USAGE
)
WHOLE = [
    (Format.CHAT, CHAT, Account(SPENT, "stop", "m-1")),
    (
        Format.MESSAGES,
        whole(type="message", model="m-1", content=[], stop_reason="end_turn", usage=MESSAGES_USAGE),
        Account(SPENT, "end_turn", "m-1"),
    ),
    (
        Format.RESPONSES,
        whole(object="response", status="completed", model="m-1", output=[], usage=RESPONSES_USAGE),
        Account(SPENT, "completed", "m-1"),
    ),
    (Format.CHAT, whole(object="list", data=[{"embedding": [0.1]}], model="m-1", usage={"prompt_tokens": 7}), Account(Usage(7), None, "m-1")),
]  # fmt: skip


def tapped(tap, body, size=50):
    for start in range(0, len(body), size):
        tap.feed(body[start : start + size])
    return tap.account


PACKINGS = {
    "": lambda body: body,
    "identity": lambda body: body,
    "gzip": gzip.compress,
    "X-GZip": gzip.compress,
    "deflate": zlib.compress,
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize(("form", "body", "account"), WHOLE)
def test_a_whole_answer_tells_its_cost_its_end_and_its_model(form, body, account, packing):
    assert tapped(tap_for(form, JSON, packing), PACKINGS[packing](body)) == account


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("stem", ["chat.text", "messages.length", "responses.length"])
def test_a_stream_tells_the_same_in_every_packing(stem, packing):
    form = Format[stem.split(".")[0].upper()]
    plain = tap_for(form, EVENTS)
    plain.feed(recording(stem))
    account = tapped(tap_for(form, EVENTS, packing), PACKINGS[packing](recording(stem)))
    assert account == plain.account
    assert account.complete
    assert account.usage is not None
    assert account.response_model


@pytest.mark.parametrize(
    ("kind", "packing"), [("audio/mpeg", ""), ("", ""), ("text/plain", "gzip"), (JSON, "br"), (EVENTS, "zstd"), (JSON, "gzip, gzip")]
)  # fmt: skip
def test_what_cannot_be_read_has_no_tap(kind, packing):
    assert tap_for(Format.CHAT, kind, packing) is None


def test_json_has_many_names():
    assert tap_for(Format.CHAT, "Application/Problem+JSON; charset=utf-8") is not None


def test_an_answer_that_broke_off_tells_nothing():
    assert tapped(tap_for(Format.CHAT, JSON), CHAT[:-1]) is None
    assert tapped(tap_for(Format.CHAT, JSON, "gzip"), gzip.compress(CHAT)[:-30]) is None


def test_a_stream_that_broke_off_tells_what_it_told():
    start = recording("messages.length").partition(b"event: content_block_start")[0]
    account = tapped(tap_for(Format.MESSAGES, EVENTS), start)
    assert account.usage.input > 0
    assert account.response_model
    assert account.complete is False


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"error":{"message":"no"}}', b'{"usage":null}', b"\xff", b"[" * 9999]
)
def test_an_answer_that_says_nothing_of_itself_has_no_account(body):
    assert read_whole(Format.CHAT, body) is None


@pytest.mark.parametrize(
    "odd",
    [
        {"model": 7},
        {"model": {"a": 1}},
        {"usage": "x"},
        {"usage": {"prompt_tokens": -1}},
        {"choices": [{"finish_reason": 3}]},
    ],
)
def test_one_odd_field_does_not_hide_the_others(odd):
    body = {"model": "m", "usage": {"prompt_tokens": 7}, "choices": [{"finish_reason": "stop"}], **odd}
    account = read_whole(Format.CHAT, json.dumps(body).encode())
    expected = {"usage": Usage(7), "finish": "stop", "response_model": "m"}
    missing = {"model": "response_model", "usage": "usage", "choices": "finish"}
    assert account == Account(**{**expected, missing[next(iter(odd))]: None})


LONG = "0123456789abcde\n" * (WHOLE_BYTES // 16)


def test_of_a_long_answer_the_end_tells_the_cost():
    body = whole(model="m", content=[{"text": LONG}], stop_reason="end_turn", usage=MESSAGES_USAGE)
    assert tapped(WholeTap(Format.MESSAGES), body, 9999) == Account(SPENT)


def test_a_usage_inside_of_a_long_answer_is_not_its_own():
    content = [{"type": "tool_use", "input": {"text": LONG, "usage": {"input_tokens": 999}}}]
    assert tapped(WholeTap(Format.MESSAGES), whole(content=content), 9999) is None
    assert tapped(WholeTap(Format.MESSAGES), whole(content=content, usage=MESSAGES_USAGE), 9999) == Account(SPENT)
    assert tapped(WholeTap(Format.MESSAGES), whole(usage=MESSAGES_USAGE, content=content), 9999) is None


def test_of_a_long_answer_only_its_end_is_kept():
    tap = WholeTap(Format.CHAT)
    for _ in range(1000):
        tap.feed(bytes(9999))
    assert sum(map(len, tap._pieces)) < WHOLE_BYTES + 2 * 9999


def test_a_bomb_is_unpacked_no_further_than_its_first_burst():
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(bytes(1024 * 1024)) for _ in range(64)) + packer.flush()
    assert len(bomb) < 70_000
    inner = Counting()
    tap = tap_for(Format.CHAT, JSON, "gzip")
    tap._inner = inner
    tap.feed(bomb)
    tap.feed(bomb)
    assert inner.fed < 1_200_000
    assert tap.account is None


def test_more_than_the_bound_is_unpacked_of_nothing():
    inner = Counting()
    tap = tap_for(Format.CHAT, EVENTS, "gzip")
    tap._inner = inner
    packer = zlib.compressobj(wbits=31)
    for number in range(100):
        tap.feed(packer.compress(str(number).encode() * 100_000) + packer.flush(zlib.Z_SYNC_FLUSH))
    assert inner.fed < UNPACKED_BYTES + 100_000
    assert tap.account is None


class Counting:
    account = Account()
    fed = 0

    def feed(self, chunk):
        self.fed += len(chunk)


@given(
    st.sampled_from(Format),
    st.sampled_from([JSON, EVENTS]),
    st.sampled_from(["", "gzip", "deflate"]),
    st.lists(st.binary() | st.sampled_from([gzip.compress(CHAT), CHAT, b'"usage"', b'data: {"choices":[{"usage":1}]}\n\n', b"\x1f\x8b"])),
)  # fmt: skip
def test_a_tap_never_raises(form, kind, packing, chunks):
    tap = tap_for(form, kind, packing)
    for chunk in chunks:
        tap.feed(chunk)
    assert tap.account is None or isinstance(tap.account, Account)


@given(st.sampled_from(["chat.text", "messages.length", "responses.length"]), st.data())
def test_a_packed_stream_may_be_cut_anywhere(stem, data):
    packed = gzip.compress(recording(stem), mtime=0)
    form = Format[stem.split(".")[0].upper()]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(packed)), max_size=12)))
    tap = tap_for(form, EVENTS, "gzip")
    for start, stop in zip([0, *cuts], [*cuts, len(packed)], strict=True):
        tap.feed(packed[start:stop])
    plain = tap_for(form, EVENTS)
    plain.feed(recording(stem))
    assert tap.account == plain.account


def test_a_count_that_no_answer_can_have_is_no_count():
    """A provider may write any number; one of four hundred digits is not to be added to anything."""
    told = whole(model="m", usage={"prompt_tokens": 10**400, "completion_tokens": 3})
    assert read_whole(Format.CHAT, told) == Account(response_model="m")
    told = whole(model="m", usage={"prompt_tokens": f"{10**400}", "completion_tokens": 3})
    assert read_whole(Format.CHAT, told) == Account(response_model="m")


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("content_type", [JSON, EVENTS, "image/png", ""])
@pytest.mark.parametrize("filling", [0, WHOLE_BYTES])
def test_of_an_answer_that_is_here_whole_the_account_is_the_taps(packing, content_type, filling):
    body = PACKINGS[packing](whole(x="x" * filling, model="m-1", usage=CHAT_USAGE))
    tap = tap_for(Format.CHAT, content_type, packing)
    told = account_of(Format.CHAT, content_type, packing, body)
    assert told == (None if tap is None else tapped(tap, body))
    assert (told is None) == (content_type in {"image/png", ""})
