"""What the program is doing, for whoever sends it requests."""

from attrs import define


@define
class State:
    """`name`: `starting`, `serving` or `draining`, as the composition root sets it."""

    name: str = "starting"
    is_failed: bool = False
    """Whether an operator has taken it out of service: POST /healthcheck/fail."""

    @property
    def is_ready(self) -> bool:
        return self.name == "serving" and not self.is_failed

    @property
    def shown(self) -> str:
        """One word, or the few of an operator's wish."""
        return "failed by an operator" if self.name == "serving" and self.is_failed else self.name
