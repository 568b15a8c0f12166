#!/usr/bin/env bash
# Everything that must pass: lint, format, types, import contracts, tests. Makes .venv when there is none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=${VENV:-.venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
installed=$venv/installed-by-run.sh
if [ ! "$installed" -nt pyproject.toml ] || [ ! "$installed" -nt tests/run.sh ]; then  # pip needs 10 s to find nothing to do
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
    # Kustomize as a library, where no program has it. Its metadata asks for Python 3.14; it runs on 3.11.
    command -v kustomize >/dev/null || command -v kubectl >/dev/null ||
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python pykustomize==0.1.4 cffi
    touch "$installed"
fi
# Tests as pytest rewrites them are kept, whatever this environment says: half of the time to collect them.
unset PYTHONDONTWRITEBYTECODE

set -x
"$venv/bin/ruff" check .
"$venv/bin/ruff" format --check .
"$venv/bin/mypy"
"$venv/bin/lint-imports" --no-cache
# Two processes more than there are cores: half of the time of a test is waiting. In the order of tests/conftest.py: else
# files of few tests would come last, which are the long ones, and one would be alone at the end.
"$venv/bin/pytest" --numprocesses "$(($(nproc) + 2))" --dist loadfile --no-loadscope-reorder "$@"
