#!/usr/bin/env python3
"""
Writes what is said in one place and needed in others: Kustomize and Helm read no file outside their own folder.

    deploy/build.py            writes the copies
    deploy/build.py --check    exits 1 and names those that are not what it would write

The rules of Prometheus become a PrometheusRule and a file of the chart, and the configurations of kubernetes/ those of the
chart.
"""

import sys
from pathlib import Path

DEPLOY = Path(__file__).parent
CHART = DEPLOY / "helm/llm-sidecar/files"
RULES = "prometheus/rules.yaml"
CONFIGS = {"sidecar": "kubernetes/base/sidecar.yaml", "gateway": "kubernetes/gateway/sidecar.yaml"}
"""Mode of the chart -> its configuration."""

_SAYS = "# Made from deploy/{} by deploy/build.py: change it there.\n"
_HEAD = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: llm-sidecar\nspec:\n"


def main(arguments: list[str]) -> int:
    """The exit code: 0, or 1 when `--check` found a difference."""
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    made = copies()
    if not arguments:
        for path, text in made.items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [str(path) for path, text in made.items() if not path.is_file() or path.read_text("utf-8") != text]
    if stale:
        sys.stderr.write(f"not what build.py makes: {', '.join(stale)}\n")
    return 1 if stale else 0


def copies() -> dict[Path, str]:
    """Path -> text. Texts are kept as they are, comments and all; in the PrometheusRule they move to the right."""
    rules = (DEPLOY / RULES).read_text("utf-8")
    groups = rules[rules.index("groups:\n") :]
    inner = "".join(f"  {line}" if line.strip() else line for line in groups.splitlines(keepends=True))
    made = {
        DEPLOY / "kubernetes/base/prometheusrule.yaml": _SAYS.format(RULES) + _HEAD + inner,
        CHART / "rules.yaml": _SAYS.format(RULES) + groups,
    }
    for mode, path in CONFIGS.items():
        made[CHART / f"{mode}.yaml"] = _SAYS.format(path) + (DEPLOY / path).read_text("utf-8")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
