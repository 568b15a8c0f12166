"""
How many bytecodes of Python a request costs: of a pinned decision, and of a proxied plain reply.

    python tests/bench/bytecodes.py                     two numbers, in two seconds
    python tests/bench/bytecodes.py --functions 40      and where they are spent; --lines 40
    PYTHONPATH=TREE python tests/bench/bytecodes.py     of another tree

What is counted, and what is not: harness/bytecodes.py. tests/e2e/test_bytecodes.py keeps both within a budget.
"""

import argparse

from harness import bytecodes


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n")[0])
    parser.add_argument("--functions", type=int, default=0, metavar="N", help="those N too that cost most")
    parser.add_argument("--lines", type=int, default=0, metavar="N", help="likewise")
    wanted = parser.parse_args()
    for name, cost in bytecodes.costs().items():
        print("\n".join(bytecodes.lines(name, cost, wanted.functions, wanted.lines)))


if __name__ == "__main__":
    main()
