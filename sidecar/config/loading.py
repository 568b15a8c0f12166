"""
From a file to a Config: read, compose, read every value, link. Each step goes on as far as it can, so that one
reading tells every mistake.
"""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from attrs import frozen

from sidecar.config.document import parse_yaml
from sidecar.config.drafts import Draft
from sidecar.config.files import read_bounded
from sidecar.config.keys import FILE
from sidecar.config.linking import link
from sidecar.config.models import Config
from sidecar.config.reading import Finding, Reading, Wrong
from sidecar.errors import ConfigError


@frozen
class Loaded:
    """A configuration, and what its reader should tell the person who wrote it."""

    config: Config
    warnings: tuple[str, ...] = ()


def read(path: Path | str, environ: Mapping[str, str]) -> Loaded:
    """The configuration in a file. Raises ConfigError, whose text is every mistake, a line each."""
    try:
        text = read_bounded(Path(path))
    except Wrong as wrong:
        raise ConfigError(f"{path} {wrong}") from wrong
    return read_text(text, str(path), environ)


def read_text(text: str, source: str, environ: Mapping[str, str]) -> Loaded:
    """The same from a text; `source` is what messages call it, and where relative paths start."""
    reading = Reading(source, environ, Path(source).parent)
    document = parse_yaml(text)
    reading.mistakes.extend(Finding(flaw.line, flaw.path or "the file", flaw.sentence) for flaw in document.flaws)
    draft: Draft = reading.attempt(FILE, document.root) or Draft(document.root)
    if not draft.providers and not reading.mistakes:
        reading.warn(document.root, "has no model_providers, so there is no model that could answer")
    config = link(draft, reading)
    return Loaded(config, reading.finish())


def builtin(environ: Mapping[str, str]) -> Config:
    """What is served when there is no file. It goes the same way as a file."""
    text = resources.files("sidecar.config").joinpath("builtin.yaml").read_text("utf-8")
    return read_text(text, "built-in", environ).config
