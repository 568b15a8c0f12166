from decimal import Decimal

import pytest

from sidecar.injector.quantity import amount


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("250m", Decimal("0.25")), ("1.5", Decimal("1.5")), ("2k", 2000), ("64Mi", 64 * 2**20), ("1G", 10**9)],
)
def test_a_quantity_is_an_amount(text, number):
    assert amount(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "0Mi", "-1", "+1", "1 Gi", "1Xi", "mi", "1e3", ".5", "5.", "٣", "1Mi\n", "9" * 13]
)
def test_what_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"quantity|zero"):
        amount(text)


def test_quantities_compare_across_their_units():
    assert amount("1024Mi") == amount("1Gi") > amount("1G") > amount("999M")
