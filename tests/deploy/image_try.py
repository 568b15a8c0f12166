#!/usr/bin/env python3
"""
Tries a built image: `image_try.py ROOT IMAGE.json VERSION`, as image.sh calls it.

What runs is what the image itself says: its entry point, environment, user and health check. The sandbox is what the
manifests of deploy/kubernetes ask for: a root file system that cannot be written to, no capabilities, one volume for
the snapshot. It has the network of this machine, so its ports must be free. Exits 1 with a sentence at the first thing
that is not as it should be.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PORT, ADMIN = 12000, 9901
CONFIG = """
model_providers:
  - {model: openai/gpt-4o-mini, default: true}
  - {model: openai/gpt-4o}
routing_preferences:
  - {name: code_generation, description: writing or changing program code, models: [openai/gpt-4o]}
routing: {session_cache: {type: memory, snapshot: /var/lib/sidecar/pins}}
"""
QUESTION = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "write a function that sorts"}]}
UNWANTED = ("pip", "pip3", "gcc", "cc", "g++", "make", "curl", "wget")
PATIENCE_S = 15.0


class Image:
    """`root`: where its files are; `told`: what `buildah inspect` says of it."""

    def __init__(self, root: Path, told: dict) -> None:
        self.root = root
        self.config = told["Docker"]["config"]

    def sandboxed(self, command: list[str], config: Path, state: Path) -> list[str]:
        """`command` as this image would run it, with `config` mounted, and `state` as the volume of the snapshot."""
        user, group = self.config["User"].split(":")
        environ = [word for each in self.config["Env"] for word in ("--setenv", *each.split("=", 1))]
        # setpriv and not a user namespace of bwrap's, in which root's files would be this user's own.
        return [
            "bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--new-session",
            "--clearenv", *environ, "--ro-bind", str(self.root), "/", "--proc", "/proc", "--dev", "/dev",
            "--bind", str(state), "/var/lib/sidecar", "--ro-bind", str(config), "/etc/sidecar",
            "setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--no-new-privs",
            "--inh-caps=-all", "--bounding-set=-all", *command,
        ]  # fmt: skip


def main(root: str, told: str, version: str) -> None:
    image = Image(Path(root), json.loads(Path(told).read_text()))
    check_files(image, version)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)  # the user of the image has to come through
        config, state = folder / "etc", folder / "state"
        config.mkdir()
        (config / "sidecar.yaml").write_text(CONFIG)
        state.mkdir(mode=0o700)
        os.chown(state, *map(int, image.config["User"].split(":")))
        check_sandbox(image, config, state)
        serve(image, config, state)


def check_sandbox(image: Image, config: Path, state: Path) -> None:
    def does(program: str) -> bool:
        return run(image.sandboxed(["python3", "-c", program], config, state)) == 0

    expect(does("pass"), "its Python runs")
    expect(does("import os; assert os.getuid() == os.getgid() == 65532"), "as user and group 65532")
    expect(does("assert int(open('/proc/self/status').read().split('CapEff:')[1].split()[0], 16) == 0"), "of no power")
    expect(not does("open('/opt/sidecar/new', 'w')"), "the root file system cannot be written to")
    expect(does("open('/var/lib/sidecar/new', 'w')"), "the volume can")


def serve(image: Image, config: Path, state: Path) -> None:
    probe = image.sandboxed(image.config["Healthcheck"]["Test"][1:], config, state)
    expect(run(probe) != 0, "the health check fails before anything serves")
    began = time.monotonic()
    command = image.sandboxed([*image.config["Entrypoint"], *image.config["Cmd"]], config, state)
    process = subprocess.Popen(command)  # noqa: S603 - what the image says of itself
    try:
        expect(is_ready(process), f"/ready answers 200, after {time.monotonic() - began:.1f} s")
        try_it(probe)
    finally:
        code = stopped(process)
    expect(code == 0, f"SIGTERM ends it with exit code 0: {code}")
    expect((state / "pins").is_file(), "the snapshot is written at the end")


def check_files(image: Image, version: str) -> None:
    found = [name for name in UNWANTED for place in ("bin", "usr/bin", "usr/local/bin", "opt/sidecar/bin")
             if os.path.lexists(image.root / place / name)]  # fmt: skip
    expect(not found, f"none of {', '.join(UNWANTED)} is in it; found: {found}")
    expect(not any(image.root.rglob("site-packages/pip")), "no pip is in its Python either")
    expect(not any(image.root.joinpath("opt").rglob("conftest.py")), "no tests are in it")
    expect(not any(image.root.joinpath("src").glob("*")), "no source tree is in it")
    expect(image.config["User"] == "65532:65532", "its user is a number, and not root's")
    labels = image.config["Labels"]
    expect(labels["org.opencontainers.image.version"] == version, f"its label says version {version}")


def try_it(probe: list[str]) -> None:
    first = ask("/routing/v1/chat/completions", QUESTION)
    again = ask("/routing/v1/chat/completions", QUESTION)
    expect(first["models"][0] == "openai/gpt-4o", f"code goes to the model for code: {first}")
    expect((first["pinned"], again["pinned"]) == (False, True), f"the second decision is pinned: {first}, {again}")
    expect(again["models"] == first["models"], "and the same")
    expect(run(probe) == 0, "the health check passes while it runs")


def ask(path: str, body: dict) -> dict:
    headers = {"content-type": "application/json", "x-session-id": "image"}
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - http, as it says
        return json.load(answer)


def is_ready(process: subprocess.Popen) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ADMIN}/ready", timeout=2):
                return True
        except OSError:  # nobody listens, or 503
            time.sleep(0.05)
    return False


def stopped(process: subprocess.Popen) -> int:
    """The exit code, after SIGTERM to the program itself: bwrap does not hand signals on."""
    for pid in children_of(process.pid):
        for inner in children_of(pid) or [pid]:
            os.kill(inner, signal.SIGTERM)
    try:
        return process.wait(PATIENCE_S)
    finally:
        process.kill()


def children_of(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def run(command: list[str]) -> int:
    return subprocess.run(command, check=False, capture_output=True, timeout=20).returncode  # noqa: S603 - ours


def expect(holds: bool, sentence: str) -> None:  # noqa: FBT001 - reads as the claim that it is
    if not holds:
        sys.exit(f"NOT SO: {sentence}")
    sys.stdout.write(f"so it is: {sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
