"""
That a sidecar shall end, and how.

    SIGTERM, POST /quitquitquit     in good order, after drain.delay_seconds
    SIGINT                          in good order, at once: whoever presses Ctrl-C balances no load
    POST /hand_over                 in good order, at once: another sidecar has begun to take the clients
    a second signal                 now: requests under way are cut

A signal after /quitquitquit is a first signal: Kubernetes sends SIGTERM after a preStop hook, and means the same.
"""

import asyncio
import signal


class Stop:
    """Nothing is asked for in the beginning. All of it belongs to one event loop."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()
        """Whether what is under way is to be cut."""
        self.why = "told to"
        self.delays = False
        """Whether clients are served for a while yet, until nobody sends them here any more."""
        self.hands_over = False
        """Whether another process listens where we do."""
        self.settled = asyncio.Event()
        """Set by whoever drains, when no request can come any more; those under way go on."""
        self._signals = 0

    def ask(self, why: str, *, delays: bool = True) -> None:
        """What was asked for first holds."""
        if not self.asked.is_set():
            self.why, self.delays = why, delays
            self.asked.set()

    def hand_over(self) -> None:
        """Another sidecar takes the clients from here on."""
        self.hands_over = True
        self.ask("another one takes over", delays=False)

    def signalled(self, sign: int) -> None:
        """For SIGTERM and SIGINT."""
        self._signals += 1
        if self._signals > 1:
            self.at_once.set()
        self.ask(signal.Signals(sign).name, delays=sign == signal.SIGTERM)
