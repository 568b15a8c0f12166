"""`sidecar injector` as Kubernetes meets it: started, asked, told to stop."""

import asyncio
import base64
import json
import signal
import ssl

import trustme

REVIEW = {
    "kind": "AdmissionReview",
    "apiVersion": "admission.k8s.io/v1",
    "request": {
        "uid": "705ab4f5",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "agents",
        "operation": "CREATE",
        "object": {"metadata": {"name": "agent"}, "spec": {"containers": [{"name": "agent", "image": "agent:3"}]}},
    },
}


def certified(folder):
    """The words that name a fresh certificate and its key, and who trusts it."""
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "tls.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return ("--tls-cert", folder / "tls.pem", "--tls-key", folder / "tls.pem"), trusting


async def asked(port, trusting):
    """The operations of the patch for `REVIEW`."""
    body = json.dumps(REVIEW).encode()
    head = f"POST /mutate?timeout=5s HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="127.0.0.1")
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    response = json.loads(answer.partition(b"\r\n\r\n")[2])["response"]
    return json.loads(base64.b64decode(response["patch"]))


async def test_the_injector_serves_until_sigterm_serves_on_a_little_and_ends_with_0(sidecar, tmp_path):
    words, trusting = certified(tmp_path)
    program = await sidecar(
        "injector", *words, "--port", 0, "--admin-port", 0, "--drain-delay", 60, "--image", "mine:1"
    )
    await program.until("admin")
    port = int(program.printed[0].rpartition(":")[2])
    assert (await asked(port, trusting))[-1]["value"][0]["image"] == "mine:1"
    program.process.send_signal(signal.SIGTERM)
    while b"stopping" not in await program.process.stderr.readline():
        pass
    assert await asked(port, trusting)
    code, log = await program.end(signal.SIGTERM)  # a second one: not all of the minute
    assert (code, "Traceback" in log) == (0, False)
    assert log.rstrip().endswith("stopped")


async def test_an_injector_that_cannot_start_says_why(sidecar, tmp_path):
    program = await sidecar(
        "injector", "--tls-cert", "none.pem", "--tls-key", "none.pem", "--port", 0, "--admin-port", 0
    )
    code, errors = await program.end()
    assert (code, "none.pem cannot be used: No such file" in errors, "Traceback" in errors) == (1, True, False)
