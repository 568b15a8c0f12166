"""
A terminal taken over for a while: the alternate screen, no echo, no cursor, keys as they are pressed. Whatever happens,
it is given back as it was.

Control sequences: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
"""

import os
import select
import signal
import termios
import time
import tty
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

_TAKE = "\x1b[?1049h\x1b[?25l\x1b[2J"
_GIVE_BACK = "\x1b[?25h\x1b[?1049l"
_LINE_END = "\x1b[K\n"  # the terminal still makes it a new line from the left
_TO_THE_END = "\x1b[J"
_LOOK_S = 0.1
"""So often the size is looked at while nothing happens; a signal could not be told from other waking."""


class Screen:
    """
    `keys`: the file descriptor of the keyboard, None when there is none; `page`: that of the terminal that is drawn
    on; `write` puts text there at once.
    """

    def __init__(self, keys: int | None, page: int, write: Callable[[str], None]) -> None:
        self._keys = keys
        self._page = page
        self._write = write
        self._before: list[Any] | None = None
        self._stopping: dict[int, Any] = {}
        self._told = (0, 0)

    def __enter__(self) -> Self:
        try:
            self._take()
        except BaseException:  # Ctrl-C may come at any time
            self._give_back()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()

    def _take(self) -> None:
        for sign in (signal.SIGTERM, signal.SIGHUP):  # they would end us with the terminal still taken
            self._stopping[sign] = signal.signal(sign, _stop)
        if self._keys is not None:
            self._before = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys)
            self._forbid_suspending(self._keys)
        self._write(_TAKE)

    def _give_back(self) -> None:
        with suppress(OSError):  # the terminal may be gone
            self._write(_GIVE_BACK)
        if self._keys is not None and self._before is not None:
            with suppress(termios.error):
                termios.tcsetattr(self._keys, termios.TCSADRAIN, self._before)
        for sign, handler in self._stopping.items():
            signal.signal(sign, handler)

    def size(self) -> tuple[int, int]:
        """
        Columns and lines to write in, as they are now: one column less than there are, for behind a character in the
        last one the cursor is in no column, and terminals do not agree on what is erased from there.
        """
        self._told = self._measured()
        return self._told

    def _measured(self) -> tuple[int, int]:
        found = os.get_terminal_size(self._page)
        return max(1, (found.columns or 80) - 1), found.lines or 24  # a terminal may say that it does not know

    def draw(self, lines: Sequence[str]) -> None:
        """Over what was there, without clearing first: nothing flickers."""
        self._write("\x1b[H" + _LINE_END.join(lines) + "\x1b[K" + _TO_THE_END)

    def wait(self, seconds: float) -> str | None:
        """The key that was pressed; None when the time is over, or the window has another size than was last told."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and self._measured() == self._told:
            if self._keys is None:
                time.sleep(min(left, _LOOK_S))
            elif select.select([self._keys], [], [], min(left, _LOOK_S))[0]:
                # No byte at all: the terminal is gone, and nobody is left to press another key.
                return os.read(self._keys, 1).decode("latin-1") or "q"
        return None

    def _forbid_suspending(self, keys: int) -> None:
        """Ctrl-Z would leave the shell on our page."""
        settings = termios.tcgetattr(keys)
        settings[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(keys, termios.TCSADRAIN, settings)


def _stop(_sign: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
