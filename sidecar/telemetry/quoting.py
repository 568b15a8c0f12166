"""
Text from elsewhere, made fit to be written down: bounded, on one line, and unable to look like more than it is.

What clients and providers say may hold line breaks, terminal escapes, or half a character; a log that wrote them as
they are could be made to show lines that never happened.
"""

LONGEST = 256
"""Characters of a text that is not ours."""


def printable(text: str, longest: int = LONGEST) -> str:
    """`text` with `�` for whatever cannot be printed: line breaks of every kind, controls, lone surrogates."""
    if len(text) <= longest and text.isprintable():
        return text
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cut)


def one_line(text: str) -> str:
    r"""`text` with escapes (`\n`, `\x1b`, `\u2028`) for whatever cannot be printed; any length, nothing lost."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def quoted(text: str, longest: int = LONGEST) -> str:
    r"""
    For the inside of double quotes: `\xXX` for quotes, backslashes and all but visible ASCII and the space, as nginx
    does it: https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format
    """
    cut = text[:longest]
    if cut.isascii() and cut.isprintable() and '"' not in cut and "\\" not in cut:
        return cut
    # Headers are read with `surrogateescape`; a surrogate that stands for no byte is written as its three.
    return "".join(_plain(byte) for byte in cut.encode("utf-8", "surrogatepass"))


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _plain(byte: int) -> str:
    char = chr(byte)
    return char if " " <= char <= "~" and char not in '"\\' else f"\\x{byte:02X}"
