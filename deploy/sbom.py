#!/usr/bin/env python3
"""
Writes what the installed sidecar is made of: a software bill of materials, as CycloneDX JSON on standard output.

    deploy/sbom.py                       the sidecar with its extras, as far as they are installed
    deploy/sbom.py --without-extras      the sidecar alone

What is listed is what is installed where this runs, found by following each distribution's own list of what it needs;
an extra `dev` is no part of the program. The same installation gives the same bytes: there is no time in it, and the
serial number is made of the content. The format: https://cyclonedx.org/docs/1.6/json/. It needs nothing but Python:

    docker run --rm --entrypoint /opt/sidecar/bin/python3 -v "$PWD/deploy/sbom.py:/sbom.py:ro" llm-sidecar /sbom.py
"""

import json
import re
import sys
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from urllib.parse import quote

PROGRAM = "llm-sidecar"
NOT_OURS = frozenset({"dev"})
"""Extras that are for whoever works on the program."""

_NEEDED = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)\s*(?:\[(?P<extras>[^]]*)\])?[^;]*(?:;(?P<marker>.*))?")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--without-extras"]):
        sys.exit(__doc__)
    offered = distribution(PROGRAM).metadata.get_all("Provides-Extra") or []
    extras = frozenset() if arguments else frozenset(offered) - NOT_OURS
    sys.stdout.write(json.dumps(bill(PROGRAM, extras), indent=2) + "\n")
    return 0


def bill(program: str, extras: frozenset[str]) -> dict[str, object]:
    """The bill of an installed distribution. Raises PackageNotFoundError when it is not installed."""
    needs = _closure(program, extras)
    whole = component(distribution(program), "application")
    parts = [component(distribution(name), "library") for name in sorted(needs) if name != canonical(program)]
    content = {
        "metadata": {"component": whole},
        "components": parts,
        "dependencies": [
            {"ref": _purl(distribution(name)), "dependsOn": sorted(_purl(distribution(each)) for each in needs[name])}
            for name in sorted(needs)
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        **content,
    }


def component(made: Distribution, kind: str) -> dict[str, object]:
    found: dict[str, object] = {
        "type": kind,
        "bom-ref": _purl(made),
        "name": canonical(made.name),
        "version": made.version,
        "purl": _purl(made),
    }
    if licences := _licences(made):
        found["licenses"] = licences
    return found


def canonical(name: str) -> str:
    """As package indexes write it: https://packaging.python.org/en/latest/specifications/name-normalization/."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(made: Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """
    What a distribution needs with some of its extras, as far as it is installed: names, and extras of theirs. Markers
    of systems and versions are not worked out: what they rule out is not installed.
    """
    for line in made.requires or ():
        found = _NEEDED.match(line)
        if found is None:
            continue
        wanted_by = frozenset(_EXTRA.findall(found["marker"] or ""))
        if (wanted_by and not wanted_by & extras) or not _is_installed(found["name"]):
            continue
        theirs = (each.strip() for each in (found["extras"] or "").split(","))
        yield canonical(found["name"]), frozenset(filter(None, theirs))


def _closure(program: str, extras: frozenset[str]) -> dict[str, set[str]]:
    """Everything that is needed, by name -> what it needs itself."""
    needs: dict[str, set[str]] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    left = [(canonical(program), extras)]
    while left:
        name, chosen = left.pop()
        needs.setdefault(name, set())
        if (name, chosen) not in seen:
            seen.add((name, chosen))
            found = [each for each in needed(distribution(name), chosen) if each[0] != name]
            needs[name].update(other for other, _ in found)
            left += found
    return needs


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _purl(made: Distribution) -> str:
    """https://github.com/package-url/purl-spec"""
    return f"pkg:pypi/{canonical(made.name)}@{quote(made.version, safe='')}"


def _licences(made: Distribution) -> list[dict[str, object]]:
    if expression := made.metadata.get("License-Expression"):
        return [{"expression": expression}]
    classifiers = made.metadata.get_all("Classifier") or []
    names = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]
    if not names and (line := (made.metadata.get("License") or "").partition("\n")[0].strip()):
        names = [line]
    return [{"license": {"name": name}} for name in sorted(names)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
