"""
The README's performance section, and its chart, out of what run.py wrote.

    python tests/bench/report.py FILE              both: README.md between its two marks, and tests/bench/performance.svg
    python tests/bench/report.py FILE --print      the section, on standard output; no file is written

Figures of rounds in which somebody was starved are left out, as in the table (`--regardless` takes them too, and the
section then says so).
"""

import argparse
import sys
from pathlib import Path

from harness import chart, readme
from harness.record import Record

TREE = Path(__file__).parents[2]


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n")[0])
    parser.add_argument("file", type=Path, help="what run.py --json wrote")
    parser.add_argument("--print", action="store_true", dest="prints", help="the section only, to standard output")
    parser.add_argument("--regardless", action="store_true", help="starved rounds too")
    parser.add_argument("--readme", type=Path, default=TREE / "README.md")
    parser.add_argument("--chart", type=Path, default=Path(__file__).with_name("performance.svg"))
    wanted = parser.parse_args()
    record = Record.read(wanted.file)
    section = readme.section(record, regardless=wanted.regardless)
    if wanted.prints:
        print(section)
        return
    drawn = chart.svg(record, regardless=wanted.regardless)
    if drawn is None:
        sys.exit(f"no round of {chart.ROW} counts: there is nothing to draw")
    try:
        text = readme.put(wanted.readme.read_text(), section)
    except ValueError as exc:
        sys.exit(f"{wanted.readme}: {exc}")
    wanted.readme.write_text(text)
    wanted.chart.write_text(drawn)


if __name__ == "__main__":
    main()
