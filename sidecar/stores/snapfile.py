"""
The file of a snapshot: its bytes, and how they get to the disk and back whole or not at all.

    SIDECARP · version u8 · order u8 · began_at f64                       the head
    bytes of the key u16 · bytes of the record u32 · key · record         a pin, as often as there are pins
    pins u64 · BLAKE2b of all before, 128 bits                            the foot

All numbers are big-endian; times are Unix time in seconds. A record is what `values` makes of a pin, and what a Redis
holds of it too. The foot tells a file that was cut off or damaged: one digest of the whole (RFC 7693), and not a CRC,
since it costs less than a thousandth of a second for 10,000 pins and 32 bits would let one damage in four billion pass.
It is no signature: whoever may write to the folder may pin sessions.

What is new comes with a new version. A file of another version is not read.
"""

import errno
import os
import secrets
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from enum import IntEnum
from hashlib import blake2b
from pathlib import Path
from typing import Final

from attrs import frozen

from sidecar.routing.decision import Held
from sidecar.stores import values

MAGIC: Final = b"SIDECARP"
VERSION: Final = 1
HEAD: Final = struct.Struct(">8sBBd")
PIN: Final = struct.Struct(">HI")
COUNT: Final = struct.Struct(">Q")
DIGEST_BYTES: Final = 16

LONGEST_KEY: Final = 0xFFFF
MOST_TURNS: Final = 0xFFFF_FFFF
KEY_ERRORS: Final = "surrogatepass"
"""What a header brought that is no UTF-8 stands in a key as surrogates."""

MOST_BAD = 3
"""Files set aside that are kept: the latest."""
ABANDONED_S = 60.0
"""A half-written file that has not grown for so long is nobody's."""


class Order(IntEnum):
    """What tells which of two pins was used before the other."""

    USE = 0
    """The one that stands first."""
    EXPIRY = 1
    """The one that expires first: each use starts a pin's time to live anew."""


class Damaged(ValueError):
    """The bytes are no snapshot that this release can read; says why, never what they are."""


@frozen
class Packed:
    """A pin as it stands in the file."""

    key: bytes
    record: bytes

    @property
    def expires_at(self) -> float:
        """Unix time; 0 for a record that is too short to say."""
        if len(self.record) < values.HEAD.size:
            return 0.0
        return float(values.HEAD.unpack_from(self.record)[2])


@frozen
class Read:
    """A whole file."""

    order: Order
    began_at_s: float
    """When the writing of it began. Unix time."""
    body: memoryview

    def pins(self) -> Iterator[Packed]:
        """Raises Damaged."""
        at, end = 0, len(self.body)
        while at < end:
            if end - at < PIN.size:
                raise Damaged("damaged")
            key_length, record_length = PIN.unpack_from(self.body, at)
            middle = at + PIN.size + key_length
            if middle + record_length > end:
                raise Damaged("damaged")
            yield Packed(bytes(self.body[at + PIN.size : middle]), bytes(self.body[middle : middle + record_length]))
            at = middle + record_length


def head(order: Order, began_at_s: float) -> bytes:
    return HEAD.pack(MAGIC, VERSION, order, began_at_s)


def packed(key: str, held: Held, now: float) -> bytes:
    """A pin as `held` at `now`, Unix time. Raises ValueError for one with words that are no text, or a key too long."""
    pin, failover = values.pin_bytes(held.pin), values.failover_bytes(held.last_failover)
    turns = min(held.turns, MOST_TURNS)
    numbers = (now + held.expires_in_s, now - held.age_s, turns, len(pin), len(failover))
    record = values.HEAD.pack(values.VERSION, values.PIN_KIND, *numbers) + pin + failover
    name = key.encode(errors=KEY_ERRORS)
    if len(name) > LONGEST_KEY:
        raise ValueError("too long")
    return PIN.pack(len(name), len(record)) + name + record


def understood(content: bytes) -> Read:
    """Raises Damaged."""
    foot_at = len(content) - COUNT.size - DIGEST_BYTES
    _check_head(content)
    if (
        foot_at < HEAD.size
        or blake2b(memoryview(content)[:-DIGEST_BYTES], digest_size=DIGEST_BYTES).digest() != (content[-DIGEST_BYTES:])
    ):
        raise Damaged("cut off or damaged")
    _, _, order, began_at_s = HEAD.unpack_from(content)
    if order not in tuple(Order):
        raise Damaged("damaged")
    return Read(Order(order), began_at_s, memoryview(content)[HEAD.size : foot_at])


def _check_head(content: bytes) -> None:
    if not content.startswith(MAGIC):
        raise Damaged("no snapshot of pins" if content else "empty")
    if len(content) < HEAD.size:
        raise Damaged("cut off or damaged")
    version = content[len(MAGIC)]
    if version != VERSION:
        raise Damaged(f"a snapshot of version {version}, and this release reads version {VERSION}")


# What follows waits for the disk: for a thread


def read(path: Path) -> bytes | None:
    """
    The content of a file, or of one that is no snapshot its first bytes; None when there is none, or what is there is
    no ordinary file. Raises OSError.
    """
    # Not to wait for whoever would write to a pipe, and not to follow a link.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        with os.fdopen(os.open(path, flags), "rb") as file:
            begin = file.read(HEAD.size)
            return begin if begin[: len(MAGIC)] != MAGIC else begin + file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def set_aside(path: Path) -> Path:
    """Renames a file that cannot be read, so that somebody may look at it, and gives its new path. Raises OSError."""
    aside = path.with_name(f"{path.name}.bad-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    path.rename(aside)
    for old in sorted(_beside(path, f"{path.name}.bad-"))[:-MOST_BAD]:
        with suppress(OSError):
            old.unlink()
    return aside


def _beside(path: Path, prefix: str) -> list[Path]:
    with os.scandir(path.parent) as found:
        return [Path(each.path) for each in found if each.name.startswith(prefix)]


class NewFile:
    """
    A file that takes the place of the one at `path` all at once, when it is complete; until then it stands beside it,
    under a name of its own, so that two who write do not meet. Everything here raises OSError.
    """

    def __init__(self, path: Path) -> None:
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise OSError(errno.EINVAL, "what is there is no ordinary file")
        except FileNotFoundError:
            pass
        self._path = path
        self._prefix = f".{path.name}.new-"
        self._sweep()
        self._temporary = path.with_name(f"{self._prefix}{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self._temporary, flags, 0o600), "wb")
        self._digest = blake2b(digest_size=DIGEST_BYTES)
        self.size = 0

    def close(self) -> None:
        """Unless it was completed, it never was. May be called again."""
        with suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def write(self, content: bytes) -> None:
        self._digest.update(content)
        self._file.write(content)
        self.size += len(content)

    def complete(self, pins: int) -> None:
        """On the disk when this returns: the content before the name, and the name too."""
        self.write(COUNT.pack(pins))
        self._file.write(self._digest.digest())
        self.size += DIGEST_BYTES
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.rename(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _sweep(self) -> None:
        """Forgets what a process that was killed while it wrote has left behind."""
        for left in _beside(self._path, self._prefix):
            with suppress(OSError):
                if left.lstat().st_mtime < time.time() - ABANDONED_S:
                    left.unlink()


def probe(path: Path) -> None:
    """Raises the OSError that a write would meet at once, if any."""
    NewFile(path).close()
