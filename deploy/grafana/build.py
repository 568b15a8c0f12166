#!/usr/bin/env python3
"""
Writes dashboards/*.json, which Grafana reads, from boards/*.py, which people read and change.

    deploy/grafana/build.py            writes them
    deploy/grafana/build.py --check    exits 1 and names those that are not what it would write
"""

import json
import sys
from pathlib import Path

from boards import itself, pins, traffic

FOLDER = Path(__file__).parent / "dashboards"
BOARDS = (pins.BOARD, traffic.BOARD, itself.BOARD)


def main(arguments: list[str]) -> int:
    """The exit code: 0, or 1 when `--check` found a difference."""
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    made = {FOLDER / f"{board.uid}.json": _text(board.json()) for board in BOARDS}
    if not arguments:
        for path, text in made.items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [path.name for path, text in made.items() if not path.is_file() or path.read_text("utf-8") != text]
    if stale:
        sys.stderr.write(f"not what build.py makes: {', '.join(stale)}\n")
    return 1 if stale else 0


def _text(dashboard: dict) -> str:
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
