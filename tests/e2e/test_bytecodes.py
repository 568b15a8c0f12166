"""
What a request costs is kept: bytecodes of Python, which a busy machine does not change.

A change that needs more than its budget is either dearer than it should be, or worth it: then raise the budget here, and
say in the commit for what. Print what it is now by `python tests/bench/bytecodes.py` (`--functions 40`: and where it
goes); a budget is that and a tenth, so that small things need no change here. Lower it when the code has become cheaper.
"""

import sys

import pytest
from bench.harness import bytecodes

BUDGETS = {
    (3, 11): {"decision": 1_450, "reply": 2_980},
    (3, 13): {"decision": 1_380, "reply": 2_850},
}
"""By the minor version of Python: each has a compiler of its own, whose bytecodes are others."""


@pytest.fixture(scope="module")
def costs():
    return bytecodes.costs()


@pytest.fixture
def budgets():
    version = sys.version_info[:2]
    if version not in BUDGETS:
        pytest.skip(f"no budget for Python {version[0]}.{version[1]}: python tests/bench/bytecodes.py prints one")
    return BUDGETS[version]


@pytest.mark.parametrize("work", bytecodes.PATHS)
def test_a_request_stays_within_its_budget_of_bytecodes(work, costs, budgets):
    said = "\n".join(bytecodes.lines(work, costs[work], 15, 0))
    assert costs[work].total <= budgets[work], f"more than the {budgets[work]:,} of its budget; {__doc__}\n{said}"


def test_what_a_function_does_is_counted_with_what_it_calls_and_nothing_after_it():
    def once(numbers):
        return sum(number for number in numbers)

    def counted(times):
        with bytecodes.Cost() as cost:
            for _ in range(times):
                once((1, 2))
        once((1, 2))
        return cost

    one, two = counted(1), counted(2)
    assert one.total > 0
    assert two.total == 2 * one.total
    assert {code.co_qualname.rpartition(".")[2]: calls for _, calls, code in one.functions()} == {
        "once": 1,
        "<genexpr>": 3,
    }


def test_who_traced_before_traces_again():
    def debugger(*_):
        return None

    before = sys.gettrace()
    sys.settrace(debugger)
    try:
        with bytecodes.Cost():
            pass
        assert sys.gettrace() is debugger
    finally:
        sys.settrace(before)
