"""
Who may call: from the drafts of `auth` and `tls` to what is in force, with the mistakes between them.

A listener that other machines can reach has to say who may call, even if that is everybody: with the providers' keys
behind it, an open one is an open purse.
"""

from sidecar.config.document import Node
from sidecar.config.drafts import AuthDraft, ClientKeyDraft
from sidecar.config.models import Auth, ClientKey, Listener, Secret, is_loopback
from sidecar.config.reading import Reading

SHORTEST_KEY = 16
"""Characters; what is shorter can be guessed."""


def admitted(draft: AuthDraft | None, reading: Reading) -> Auth | None:
    """What `auth` comes to; None when it is not said."""
    if draft is None:
        return None
    if isinstance(draft.node.value, dict) and not draft.keys and not draft.client_certificates:
        reading.mistake(draft.node, "names nobody: give keys or client_certificates, or say none")
    keys = tuple(key for entry in draft.keys if (key := _client_key(entry, reading)) is not None)
    _check_twins(draft.keys, reading)
    return Auth(keys, draft.client_certificates)


def check_listener(listener: Listener, node: Node, reading: Reading) -> None:
    """What address, TLS and auth say together. `node`: the listener's, or the file's when it is nowhere described."""
    tls, auth = listener.tls, listener.auth
    if not is_loopback(listener.address):
        if auth is None:
            why = f"{listener.address} takes requests from other machines"
            ways = "give auth.keys or auth.client_certificates, or say 'auth: none' to let everybody"
            reading.mistake(node.at("auth"), f"must say who may call: {why}; {ways}")
        elif auth.keys and tls is None:
            reading.warn(node.at("auth", "keys"), "travel in plain text: there is no tls")
    certificates = auth is not None and auth.client_certificates
    unusable = tls is None and node.find("tls") is not None  # and that mistake is told already
    if certificates and not unusable and (tls is None or tls.client_ca_file is None):
        reading.mistake(node.at("auth", "client_certificates"), "needs tls.client_ca_file")
    if tls is not None and tls.client_ca_file is not None and not certificates:
        reading.mistake(node.at("tls", "client_ca_file"), "is not used: auth.client_certificates is not true")
    if tls is not None and tls.client_names and tls.client_ca_file is None:
        reading.mistake(node.at("tls", "client_names"), "needs client_ca_file")


def _client_key(entry: ClientKeyDraft, reading: Reading) -> ClientKey | None:
    key = one_secret(entry.key, entry.key_file, entry.node, ("key", "key_file"), reading)
    if key is None:
        if not entry.node.keys & {"key", "key_file"}:
            reading.mistake(entry.node, "needs the key 'key' or 'key_file'")
        return None
    if key.value is None:
        reading.warn(entry.node, f"lets nobody in: it waits for {key.awaited}")
    elif len(key.value) < SHORTEST_KEY:
        reading.mistake(entry.node, f"has a key that can be guessed: give it {SHORTEST_KEY} characters or more")
    return ClientKey(entry.name, key) if entry.name else None


def one_secret(
    written: Secret | None, from_file: Secret | None, node: Node, names: tuple[str, str], reading: Reading
) -> Secret | None:
    """A secret that may be given in either of two ways, under `names`; both is a mistake."""
    if written is not None and from_file is not None:
        reading.mistake(node.at(names[1]), f"says the same as {names[0]}: keep one of them")
    return written or from_file


def _check_twins(entries: tuple[ClientKeyDraft, ...], reading: Reading) -> None:
    names: dict[str, Node] = {}
    values: dict[str, Node] = {}
    for entry in entries:
        key = entry.key or entry.key_file
        if entry.name and (twin := names.setdefault(entry.name, entry.node)) is not entry.node:
            reading.mistake(entry.node.at("name"), f"must be unique, got {entry.name!r} as in {reading.place(twin)}")
        if key and key.value and (twin := values.setdefault(key.value, entry.node)) is not entry.node:
            reading.mistake(entry.node, f"has the same key as the one in {reading.place(twin)}")
