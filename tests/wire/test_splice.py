"""Another model in the same bytes: nothing else may move."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.splice import _thorough, with_model


@pytest.mark.parametrize(
    ("body", "spliced"),
    [
        ('{"model":"a","n":1}', '{"model":"new","n":1}'),
        ('{ "n" : 1.0e0 , "model" : "a" }', '{ "n" : 1.0e0 , "model" : "new" }'),
        ('{"tools":[{"model":"inner"}],"model":"a"}', '{"tools":[{"model":"inner"}],"model":"new"}'),
        ('{"model":"a","tools":[{"model":"inner"}]}', '{"model":"new","tools":[{"model":"inner"}]}'),
        (r'{"x":"\"model\":\"b\"","model":"a"}', r'{"x":"\"model\":\"b\"","model":"new"}'),
        ('{"x":"model","model":"a"}', '{"x":"model","model":"new"}'),
        ('{"x":["model"],"model":"a"}', '{"x":["model"],"model":"new"}'),
        ('{"model":null}', '{"model":"new"}'),
        ('{"model":"a\\"b","n":1}', '{"model":"new","n":1}'),
        ('{"n":1}', '{"model":"new","n":1}'),
        (" {}", ' {"model":"new"}'),
        ('{"model":"a","model":"b"}', '{"model":"new","model":"new"}'),
        ('{"mod\\u0065l":"a","n":1}', '{"model":"new","n":1}'),
        ('{"routing_preferences":[{"name":"x"}],"model":"a"}', '{"model":"new"}'),
        ('{"model":"a" , "routing_preferences" : [ 1 ] }', '{"model":"new"  }'),
        ('{"a":1, "routing_preferences":null, "model":"a"}', '{"a":1, "model":"new"}'),
        ('{"m":{"routing_preferences":[]},"model":"a"}', '{"m":{"routing_preferences":[]},"model":"new"}'),
    ],
)
def test_only_the_models_value_changes_and_our_extension_goes(body, spliced):
    assert with_model(body.encode(), "new").decode() == spliced


ASKS = '"stream_options":{"include_usage":true}'


@pytest.mark.parametrize(
    ("body", "spliced"),
    [
        ('{"model":"a","n":1}', '{"model":"new",ASKS,"n":1}'),
        ('{"n":1, "model" : "a"}', '{"n":1, "model" : "new",ASKS}'),
        ('{"n":1}', '{"model":"new",ASKS,"n":1}'),
        ('{"mod\\u0065l":"a"}', '{"model":"new",ASKS}'),
        ('{"model":"a","stream_options":{}}', '{"model":"new",ASKS}'),
        ('{"stream_options":{"include_usage":false},"model":"a"}', '{ASKS,"model":"new"}'),
        (
            '{"stream_options" : { "x": [1.0], "include_usage" : false, "include_obfuscation":false },"model":"a"}',
            '{"stream_options" : { "x": [1.0], "include_usage" : true, "include_obfuscation":false },"model":"new"}',
        ),
        (
            '{"stream_options":{"x":{"include_usage":false}},"model":"a"}',
            '{"stream_options":{"include_usage":true,"x":{"include_usage":false}},"model":"new"}',
        ),
        ('{"a":{"stream_options":{}},"model":"a"}', '{"a":{"stream_options":{}},"model":"new",ASKS}'),
        ('{"stream_options":null,"model":"a"}', '{"stream_options":null,"model":"new"}'),
        ('{"stream_options":[],"model":"a"}', '{"stream_options":[],"model":"new"}'),
    ],
)
def test_usage_is_asked_for_in_the_same_bytes(body, spliced):
    assert with_model(body.encode(), "new", asks_usage=True).decode() == spliced.replace("ASKS", ASKS)


def test_a_model_name_is_written_as_json():
    assert json.loads(with_model(b'{"model":"a"}', 'é"\\')) == {"model": 'é"\\'}


KEYS = st.sampled_from(["model", "routing_preferences", "messages", 'quo"te', "ünï", "~"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just('"model":"x"'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(body=st.dictionaries(KEYS, JSON, max_size=5), indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans())
def test_whatever_the_body_its_meaning_is_the_same_but_for_the_model(body, indent, ascii_only):
    sent = json.dumps(body, indent=indent, ensure_ascii=ascii_only).encode()
    expected = {key: value for key, value in body.items() if key != "routing_preferences"} | {"model": "new"}
    assert json.loads(with_model(sent, "new")) == expected


OPTIONS = st.dictionaries(
    st.sampled_from(["include_usage", "include_obfuscation", "model"]), st.just(value=False) | JSON
)


@given(
    body=st.dictionaries(KEYS, JSON, max_size=5),
    options=st.none() | OPTIONS,
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
)
def test_whatever_the_body_only_the_question_is_new(body, options, indent, ascii_only):
    body |= {} if options is None else {"stream_options": options}
    sent = json.dumps(body, indent=indent, ensure_ascii=ascii_only).encode()
    expected = {key: value for key, value in body.items() if key != "routing_preferences"} | {"model": "new"}
    expected["stream_options"] = (options or {}) | {"include_usage": True}
    assert json.loads(with_model(sent, "new", asks_usage=True)) == expected


def test_a_spliced_body_differs_from_the_original_in_the_models_value_only():
    before, after = b'{"messages": [{"content": "\\u00e9 1.10"}], "model": ', b', "temperature": 1.10, "top_p": 1E-2}'
    assert with_model(before + b'"gpt-4o"' + after, "o3") == before + b'"o3"' + after


def counted(body):
    """How often each top-level key is in a body, however it is spelt."""
    return Counter(key for key, _ in json.loads(body, object_pairs_hook=lambda pairs: pairs))


SPELT = st.sampled_from(
    ['"model"', '"model"', r'"mod\u0065l"', r'"say \"model"', '"stream_options"', '"routing_preferences"', '"messages"']
)
VALUE = st.sampled_from(
    [
        '"gpt"',
        '"model"',
        r'"say \"model\": \"x\""',
        r'"a\"b"',
        "1",
        "null",
        '{"model": "inner"}',
        '[{"model":"x"}]',
        "{}",
    ]
)
SPACE = st.sampled_from(["", " ", "\n\t"])


@given(
    members=st.lists(st.tuples(SPELT, SPACE, VALUE), max_size=6),
    at=st.integers(0, 6),
    long_bytes=st.sampled_from([0, 3000]),
    asks_usage=st.booleans(),
)
def test_what_is_known_of_a_body_changes_nothing_but_the_time_it_takes(members, at, long_bytes, asks_usage):
    texts = [f"{key}{space}:{space}{value}{space}" for key, space, value in members]
    texts.insert(min(at, len(texts)), f'"x": "{"z" * long_bytes}"')
    body = f"{{{','.join(texts)}}}".encode()
    found = counted(body)
    known = {
        "named_once": found["model"] == 1 and not found["routing_preferences"],
        "has_options": bool(found["stream_options"]),
    }
    thorough = _thorough(body, b'"new"', asks_usage=asks_usage)
    assert with_model(body, "new", asks_usage=asks_usage) == thorough
    assert with_model(body, "new", asks_usage=asks_usage, **known) == thorough


@pytest.mark.parametrize(
    "body", ['{"model":"o3","x":"%s"}', '{"x":"%s", "model" : "o3"}', '{"a":{},"model":"o3","x":"%s"}']
)
def test_a_body_that_names_the_model_already_is_not_copied(body):
    sent = (body % ("model" * 1000)).encode()
    assert with_model(sent, "o3", named_once=True) is sent
