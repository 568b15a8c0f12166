"""
A value that nobody may see.
"""

from attrs import field, frozen


@frozen
class Secret:
    """A value nobody may see: `repr` and `str` hide it, `reveal()` is the only way to it."""

    value: str | None = field(repr=False)
    variable: str | None = None
    """The environment variable it came from, when it did. `value` is None when that variable is not set."""
    file: str | None = None
    """The file it came from, when it did. `value` is None when there was nothing to read."""

    @property
    def awaited(self) -> str | None:
        """What it waits for, in words, while there is no value."""
        if self.value is not None:
            return None
        return f"the file {self.file}" if self.file is not None else self.variable

    def reveal(self) -> str | None:
        return self.value

    def __str__(self) -> str:
        return "***"
