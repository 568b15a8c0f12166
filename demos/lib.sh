# What the demos share: find or make a Python that has the sidecar, start one on a free port, stop it again.
# Sourced by demo.sh, which has `set -euo pipefail` and says in $here which folder is its own.

root=$(cd "$here/../.." && pwd)

# Prints the Python to use: the one at hand if it can import the package, else that of a virtual environment made here.
python_with_sidecar() {
    local candidate
    for candidate in "$root/.venv/bin/python" python3; do
        if "$candidate" -c 'import sidecar.cli' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Making a virtual environment in .venv (once) …" >&2
    python3 -m venv "$root/.venv" >&2
    "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check "$root" >&2
    echo "$root/.venv/bin/python"
}

# Starts a sidecar with the given configuration and sets SIDECAR_URL. Stops it when the script ends, however it ends.
start_sidecar() {
    local python=$1 config=$2
    sidecar_pid=
    work=$(mktemp -d)
    touch "$work/out"  # the loop below may be there before the sidecar is
    trap stop_sidecar EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    "$python" -m sidecar.cli up "$config" --port 0 --admin-port 0 >"$work/out" 2>"$work/log" &
    sidecar_pid=$!
    local tries
    for tries in $(seq 300); do
        SIDECAR_URL=$(sed -n 's|^decisions  *\(http://[^/]*\)/.*|\1|p' "$work/out")
        if [ -n "$SIDECAR_URL" ]; then
            export SIDECAR_URL
            return
        fi
        kill -0 "$sidecar_pid" 2>/dev/null || break
        sleep 0.1
    done
    echo "The sidecar did not start:" >&2
    cat "$work/log" >&2
    exit 1
}

stop_sidecar() {
    [ -z "$sidecar_pid" ] || kill "$sidecar_pid" 2>/dev/null && wait "$sidecar_pid" 2>/dev/null || true
    rm -rf "$work"
}
