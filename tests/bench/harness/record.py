"""The outcome as JSON, and back."""

import json
import platform
from datetime import UTC, datetime
from pathlib import Path

from attrs import asdict, field, frozen

from .figures import Measured, Spread


@frozen
class Record:
    """
    All of a run. `rows`: {row: {label: [Measured, …]}}; `missing`: {label: why}; `facts`: {name: Spread}; `programs`:
    {name: {"settings", "missing", "ready_s", "idle_bytes", "loaded_bytes", "installed_bytes"}}; `again`: {row: [how much
    of it was played again, how many rounds of an entry count by that]}, of rows where that is not nothing.
    """

    date: str
    machine: str
    quick: bool
    took_s: float
    rows: dict
    missing: dict
    facts: dict
    programs: dict
    again: dict = field(factory=dict)

    def write(self, path):
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path):
        said = json.loads(Path(path).read_text())
        said["rows"] = {
            row: {label: [_measured(**one) for one in rounds] for label, rounds in entries.items()}
            for row, entries in said["rows"].items()
        }
        said["facts"] = {name: Spread(**spread) for name, spread in said["facts"].items()}
        return cls(**said)


def _measured(others=(), **said):
    return Measured(**said, others=[Measured(**one) for one in others])


def today():
    return datetime.now(UTC).date().isoformat()


def machine(cores):
    """Its kind, and nothing that names it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    python = platform.python_version()
    return f"{model}, {cores} cores, Linux {platform.release().partition('-')[0]}, Python {python}"
