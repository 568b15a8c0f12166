#!/usr/bin/env bash
# Everything that must pass: lint, format, types, import contracts, tests. Makes .venv when there is none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=${VENV:-.venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[dev]'

set -x
"$venv/bin/ruff" check .
"$venv/bin/ruff" format --check .
"$venv/bin/mypy"
"$venv/bin/lint-imports" --no-cache
"$venv/bin/pytest" --numprocesses auto --dist loadfile "$@"
