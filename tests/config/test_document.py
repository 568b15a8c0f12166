import pytest

BOMB = """
a: &a [x, x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]
"""


def test_an_empty_text_is_an_empty_mapping(config):
    assert config("").providers == config("# nothing\n---\n").providers == ()


def test_a_syntax_mistake_names_its_line(mistakes):
    assert mistakes("version: v0.4.0\nrouting: [1,\n") == [
        "config.yaml:3: the file is not YAML: while parsing a flow node did not find expected node content"
    ]


def test_a_syntax_mistake_does_not_quote_the_file(mistakes):
    assert "sk-secret" not in mistakes("access_key: *sk-secret")[0]


@pytest.mark.parametrize("text", ["- a\n", "just text", "12"])
def test_the_file_must_be_a_mapping(mistakes, text):
    assert "config.yaml:1: the file must be a mapping of keys, got " in mistakes(text)[0]


def test_every_key_that_is_given_twice_is_told_with_both_lines(mistakes):
    assert mistakes("admin:\n  port: 1\n  port: 2\nversion: v0.4.0\nversion: v0.3.0\n") == [
        "config.yaml:3: admin.port is given twice, first in line 2",
        "config.yaml:5: version is given twice, first in line 4",
    ]


@pytest.mark.parametrize("text", [BOMB, "a: &a [*a]", "[" * 50 + "]" * 50, "a: " + "[" * 100_000])
def test_what_would_grow_without_end_is_refused(mistakes, text):
    assert "may hold 20000 values at most, nested 32 deep" in mistakes(text)[0]


def test_an_alias_of_yaml_is_read(config):
    assert config("admin: {port: &port 9000}\nlistener: {port: 12000, address: localhost}\n").admin.port == 9000
    assert config("admin: &a {address: '::1'}\nlistener: *a\n").listener.address == "::1"


def test_merge_keys_tags_and_second_documents_are_refused(mistakes):
    assert "has a merge key (<<)" in mistakes("admin: &a {port: 1}\nlistener: {<<: *a}\n")[0]
    assert "has a YAML tag" in mistakes("version: !python/object:os.system x\n")[0]
    assert "expected a single document" in mistakes("version: v0.4.0\n---\nversion: v0.4.0\n")[0]


@pytest.mark.parametrize("key", ["1", "yes", "null", "[a, b]", "{a: b}", "1.5"])
def test_a_key_that_is_no_text_is_a_mistake(mistakes, key):
    assert "has a key that is no text" in mistakes(f"model_aliases:\n  ? {key}\n  : openai/gpt-4o\n")[0]


def test_a_key_with_line_breaks_stays_one_line_of_the_message(mistakes):
    assert mistakes('"a\\nb": 1') == ["config.yaml:1: 'a\\nb' is no known key"]


def test_numbers_that_only_look_like_numbers_are_texts(mistakes):
    assert "got '0x_'" in mistakes("admin: {port: 0x_}")[0]
    assert "must be a whole number" in mistakes(f"admin: {{port: {'9' * 5000}}}")[0]


def test_half_a_character_is_no_utf8(mistakes):
    assert mistakes("version: \ud800") == ["config.yaml:1: the file must be UTF-8 text"]
