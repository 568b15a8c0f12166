#!/usr/bin/env bash
# A sidecar with life in it, to look at its console: no keys, no network, no GPU. Ctrl-C stops it.
#
#   ./demos/console/demo.sh                              until stopped
#   ./demos/console/demo.sh --picture console.png        for five minutes, then takes the README's picture
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../lib.sh"

python=$(python_with_sidecar)
exec "$python" "$here/demo.py" "$@"
