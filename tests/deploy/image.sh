#!/usr/bin/env bash
# Builds the image as deploy/Dockerfile says, measures it, and tries it the way Kubernetes would run it: nobody's user,
# no capabilities, a root file system that cannot be written to. Not part of the test command: it takes two minutes.
#
#   tests/deploy/image.sh                      as root, with buildah, bubblewrap and (without BASE) mmdebstrap
#   BASE=docker.io/library/debian:13.4-slim tests/deploy/image.sh      from the image that the Dockerfile names
#
# Without BASE the base is made of Debian's own packages, so no registry has to be reached. Everything is kept in a
# folder of its own and removed at the end; KEEP=folder names one that stays, so that the next run is shorter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

kept=${KEEP:-}
work=${kept:-$(mktemp -d)}
mkdir -p "$work"
work=$(realpath "$work")
# vfs and chroot: they need neither an overlay file system nor new namespaces, and so work inside a container too.
image_tool() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
container=
finish() {
    [ -z "$container" ] || image_tool rm "$container" >/dev/null
    [ -n "$kept" ] || rm -rf "$work"
}
trap finish EXIT

base=${BASE:-}
if [ -z "$base" ]; then
    base=localhost/debian:13-slim
    if ! image_tool inspect --type image "$base" >/dev/null 2>&1; then
        echo "== a base of Debian's packages"
        # Without documentation, as Debian's own slim images are.
        mmdebstrap --quiet --variant=minbase --include=ca-certificates \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
            --dpkgopt='path-exclude=/usr/share/locale/*' trixie "$work/base.tar"
        made=$(image_tool from scratch)
        image_tool add --quiet "$made" "$work/base.tar" / >/dev/null
        image_tool commit --quiet --rm "$made" "$base" >/dev/null
        rm "$work/base.tar"
    fi
fi

echo "== build"
# Where pip has to trust a certificate of the place it runs in (PIP_CERT), the build's pip is told, and the image is not.
trusted=()
if [ -n "${PIP_CERT:-}" ]; then
    printf '[global]\ncert = /run/index.pem\n' >"$work/pip.conf"
    trusted=(--volume "$PIP_CERT:/run/index.pem:ro" --volume "$work/pip.conf:/etc/pip.conf:ro")
fi
version=$(python3 -c 'import re; print(re.search(r"__version__ = \"(.+)\"", open("sidecar/__init__.py").read())[1])')
time image_tool build --quiet --format docker --isolation chroot --ignorefile deploy/Dockerfile.dockerignore \
    --file deploy/Dockerfile --build-arg "BASE=$base" --build-arg "VERSION=$version" "${trusted[@]}" \
    --tag localhost/llm-sidecar:try . >/dev/null

container=$(image_tool from localhost/llm-sidecar:try)
root=$(image_tool mount "$container")
image_tool inspect --type image localhost/llm-sidecar:try >"$work/image.json"

echo "== size"
for part in "" /opt/sidecar /usr/lib/python3.13 /usr/lib/python3; do
    du --summarize --block-size=1M "$root$part" | sed "s#$root#image #"
done

python3 tests/deploy/image_try.py "$root" "$work/image.json" "$version"
