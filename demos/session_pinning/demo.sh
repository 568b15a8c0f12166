#!/usr/bin/env bash
# Session pinning in one command: no keys, no network, no GPU.
#
#   ./demos/session_pinning/demo.sh                              starts a sidecar of its own and stops it again
#   SIDECAR_URL=http://127.0.0.1:12000 ./demos/session_pinning/demo.sh    uses one that runs already
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../lib.sh"

if [ -n "${SIDECAR_URL:-}" ]; then
    python3 "$here/demo.py"
else
    python=$(python_with_sidecar)
    start_sidecar "$python" "$here/config.yaml"
    "$python" "$here/demo.py"
fi
