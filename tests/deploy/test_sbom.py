"""The bill of materials: all that runs, nothing that only builds or tests, and the same bytes each time."""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import sidecar

SCRIPT = Path(__file__).parents[2] / "deploy/sbom.py"


def made(*arguments):
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, check=True)  # noqa: S603 - our own script
    return done.stdout


@pytest.fixture(scope="module")
def bill():
    return json.loads(made())


def names(bill):
    return {part["name"] for part in bill["components"]}


def test_it_is_the_same_each_time():
    assert made() == made()


def test_it_is_cyclonedx(bill):
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    whole = bill["metadata"]["component"]
    assert (whole["type"], whole["name"], whole["version"]) == ("application", "llm-sidecar", sidecar.__version__)
    for part in bill["components"]:
        assert part["type"] == "library"
        assert part["purl"] == part["bom-ref"] == f"pkg:pypi/{part['name']}@{version(part['name'])}"
        assert part["licenses"], f"{part['name']} says nothing of its licence"


def test_it_has_what_runs_and_what_that_needs_and_no_tools(bill):
    assert {"aiohttp", "uvloop", "msgspec", "pyyaml", "frozenlist", "redis", "hiredis", "protobuf"} <= names(bill)
    assert not {"pytest", "ruff", "mypy", "pip", "trustme", "openai", "llm-sidecar"} & names(bill)
    alone = names(json.loads(made("--without-extras")))
    assert {"aiohttp", "multidict"} <= alone < names(bill)
    assert not {"redis", "protobuf"} & alone


def test_what_the_program_imports_is_in_it(bill):
    done = subprocess.run(  # noqa: S603 - the lines below
        [sys.executable, "-c", IMPORTED], capture_output=True, check=True, text=True, cwd=SCRIPT.parents[1]
    )
    # What pip brings with it puts itself among the modules of every program that starts beside it.
    assert set(json.loads(done.stdout)) - {"setuptools"} <= names(bill)


IMPORTED = """
import json, sys
from importlib.metadata import packages_distributions
import sidecar.cli, sidecar.server, sidecar.server.worker
found = packages_distributions()
tops = {name.partition(".")[0] for name in sys.modules}
print(json.dumps(sorted({d.lower().replace("_", "-").replace(".", "-") for top in tops for d in found.get(top, ())} - {"llm-sidecar"})))
"""


def test_each_reference_leads_somewhere_and_nothing_is_left_unreached(bill):
    known = {bill["metadata"]["component"]["bom-ref"], *(part["bom-ref"] for part in bill["components"])}
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert needs.keys() == known
    reached, left = set(), [bill["metadata"]["component"]["bom-ref"]]
    while left:
        ref = left.pop()
        if ref not in reached:
            reached.add(ref)
            left += needs[ref]
    assert reached == known
