import textwrap

import pytest

from sidecar.config import read_text
from sidecar.errors import ConfigError

ENVIRON = {"OPENAI_API_KEY": "sk-open", "ANTHROPIC_API_KEY": "sk-ant"}


@pytest.fixture
def load():
    """A text as a Loaded."""
    return lambda text, **environ: read_text(textwrap.dedent(text), "config.yaml", ENVIRON | environ)


@pytest.fixture
def config(load):
    return lambda text, **environ: load(text, **environ).config


@pytest.fixture
def warnings(load):
    return lambda text, **environ: list(load(text, **environ).warnings)


@pytest.fixture
def mistakes(load):
    """The mistakes of a text, a line each."""

    def read(text, **environ):
        with pytest.raises(ConfigError) as caught:
            load(text, **environ)
        return str(caught.value).splitlines()

    return read
