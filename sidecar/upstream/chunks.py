"""
A chunk that is here whole: RFC 9112 section 7.1, as nearly every server writes it.

    a8 CR LF  168 bytes  CR LF        the size in hexadecimal, lower case, without zeros before it

Nothing is searched or counted: whatever is so many bytes long can begin with one size line only.
"""

MOST_BYTES = 4096
"""Of a chunk in its frame. A token's event takes 150 to 400."""
NO_LINE = ()
"""What nothing begins with, whatever a provider sends: `startswith` asks for one of none."""
BLANK_LINE = b"\n\n"
GAP = BLANK_LINE + b"\r\n"
"""The end of a chunk that holds events, whole ones."""


class _SizeLines(dict[int, bytes | tuple[()]]):
    """The length of a chunk in its frame -> its size line; `NO_LINE` where it would not be as above."""

    def __missing__(self, length: int) -> bytes | tuple[()]:
        if length > MOST_BYTES:
            return NO_LINE
        lines = (b"%x\r\n" % size for size in range(max(length - 8, 1), max(length - 4, 1)))
        line = next((line for line in lines if len(line) + int(line, 16) + 2 == length), NO_LINE)
        self[length] = line
        return line


SIZE_LINES = _SizeLines()
"""No more than `MOST_BYTES` of them are kept."""
