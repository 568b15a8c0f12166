"""Certificates on disk, for tests whose subject is not who trusts whom."""

import trustme


def write_pair(folder, *, key_of_another=False):
    """`tls.crt` and `tls.key` for localhost, and in `ca.crt` who signed it; the key may be that of another certificate."""
    authority = trustme.CA()
    pair, other = (authority.issue_cert("localhost", "127.0.0.1") for _ in range(2))
    (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
    (other if key_of_another else pair).private_key_pem.write_to_path(folder / "tls.key")
    authority.cert_pem.write_to_path(folder / "ca.crt")
