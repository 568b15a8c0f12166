"""Programs of others, each in a folder of its own in the cache, by the ordinary clients of the registries they are in."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

from .candidates import Unavailable

CACHE = Path("~/.cache/llm-sidecar-bench").expanduser()
"""Where, unless one says otherwise."""
DONE = "installed"
"""The file that says that all of it is there."""


def pip(cache, name, *wanted):
    """A virtual environment with what is wanted: its folder."""
    folder = cache / name

    def install():
        venv.create(folder, with_pip=True, clear=True)
        _run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted)

    return _once(folder, install)


def npm(cache, name, wanted, package="{}"):
    """A folder with `node_modules`; `package`: what package.json says."""
    folder = cache / name

    def install():
        if shutil.which("npm") is None or shutil.which("node") is None:
            raise Unavailable("node and npm are missing: apt-get install npm")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(package)
        _run("npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", folder, wanted)

    return _once(folder, install)


def debian(cache, program, *packages):
    """The path of `program`, of this machine or else out of Debian's packages, which are unpacked and not installed."""
    folder = cache / f"debian-{program}"
    if not (folder / DONE).exists() and (
        found := shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/sbin:/sbin")
    ):
        return Path(found)

    def install():
        if shutil.which("apt-get") is None:
            raise Unavailable(f"{program} is missing, and this is no Debian")
        folder.mkdir(parents=True, exist_ok=True)
        _run("apt-get", "download", *packages, cwd=folder)
        for package in folder.glob("*.deb"):
            _run("dpkg", "-x", package, folder)

    return _once(folder, install) / "usr" / "sbin" / program


def libraries(binary):
    """The environment of a program that was unpacked with its libraries."""
    above = binary.parents[2] if len(binary.parents) > 2 else binary
    folders = sorted({str(found.parent) for found in above.glob("usr/lib/*/*.so*")}) if (above / DONE).exists() else []
    return {"LD_LIBRARY_PATH": ":".join(folders)} if folders else {}


def _once(folder, install):
    if not (folder / DONE).exists():
        print(f"installing {folder.name} …", file=sys.stderr, flush=True)
        install()
        (folder / DONE).touch()
    return folder


def _run(*argv, cwd=None):
    argv = tuple(map(str, argv))
    try:
        subprocess.run(argv, check=True, capture_output=True, text=True, timeout=600, cwd=cwd)  # noqa: S603 - as written here
    except (subprocess.SubprocessError, OSError) as exc:
        last = (getattr(exc, "stderr", "") or str(exc)).strip().splitlines()[-1:]
        raise Unavailable(f"{argv[0].rpartition('/')[2]} {' '.join(argv[1:4])} failed: {' '.join(last)[:200]}") from exc


def size_bytes(folder):
    """Of all files below it, each once."""
    found = {(at.stat().st_dev, at.stat().st_ino): at.stat().st_size for at in folder.rglob("*") if at.is_file()}
    return sum(found.values())


def site(folder):
    """Where a virtual environment has its packages."""
    return next(folder.glob("lib/python3*/site-packages"))
