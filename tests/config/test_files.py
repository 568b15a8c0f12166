"""Where files are named: what an access log may be told to write to."""

import pytest


@pytest.mark.parametrize("text", ["off", "no", "OFF", "false", "'off'", "null"])
def test_an_access_log_is_off_in_every_way_yaml_has_to_say_so(config, text):
    assert config(f"telemetry: {{access_log: {text}}}").telemetry.access_log is None


@pytest.mark.parametrize("text", ["stdout", "/var/log/access.log", "logs/a b.json"])
def test_an_access_log_is_standard_output_or_a_file(config, text):
    assert config(f"telemetry: {{access_log: {text}}}").telemetry.access_log == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("on", "must be text, got on, which YAML reads as true: put it in quotes"),
        ("yes", "must be text, got yes, which YAML reads as true: put it in quotes"),
        ("1", "must be text, got 1: put it in quotes"),
        ("[]", "must be text, got a list"),
        ("''", "must be off, stdout or a file's path, got ''"),
        ("logs/", "must be off, stdout or a file's path, got 'logs/'"),
        ('"a\\nb"', "must be off, stdout or a file's path, got 'a\\nb'"),
    ],
)
def test_what_is_no_place_for_an_access_log_is_refused(mistakes, text, said):
    assert mistakes(f"telemetry: {{access_log: {text}}}") == [f"config.yaml:1: telemetry.access_log {said}"]
