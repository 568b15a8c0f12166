"""
Certificates that are in the file by name: whether they can be used at all, said with the file's other mistakes.

A certificate that is not its key's, or a file that holds none, would be found at the start too; but a reload, and
`sidecar check`, are to find it before anything is changed.
"""

import ssl
from pathlib import Path

from attrs import frozen

from sidecar.certificates import CannotLoad, Pair, trust
from sidecar.config.document import Node
from sidecar.config.files import readable_path
from sidecar.config.models import ServerTls
from sidecar.config.reading import Reading, Wrong
from sidecar.config.table import Table


@frozen
class PairReader:
    """What `table` makes of `tls`, with a certificate and a key that belong together."""

    table: Table

    def __call__(self, node: Node, reading: Reading) -> ServerTls | None:
        tls: ServerTls | None = self.table(node, reading)
        if tls is not None:
            try:
                Pair(Path(tls.cert_file), Path(tls.key_file)).load()
            except CannotLoad as exc:
                raise Wrong(f"names a pair that does not do: {exc.message}") from exc
        return tls


def authorities_path(node: Node, reading: Reading) -> str:
    """The path of a file with certificates of those who sign others."""
    path = readable_path(node, reading)
    try:
        trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), Path(path))
    except CannotLoad as exc:
        raise Wrong(f"names the file {node.shown}, which holds no certificate in PEM") from exc
    return path
