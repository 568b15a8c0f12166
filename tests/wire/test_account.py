"""What goes on from a provider's answer into logs is short and printable."""

import pytest

from sidecar.wire.account import word


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("modèle", "modèle"),
        ("a\nb\x1b[31m\u202e\x00c", "ab[31mc"),
        ("\n", None),
        ("", None),
        (None, None),
        (17, None),
        ({"name": "m"}, None),
        ("x" * 300, "x" * 256),
    ],
)
def test_a_word_is_text_that_is_short_and_printable(said, kept):
    assert word(said) == kept
