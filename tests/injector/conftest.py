"""Admission reviews as an API server sends them, and an injector on real TLS sockets."""

import base64
import copy
import io
import json
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import jsonpatch
import pytest
import trustme
import yaml
from attrs import define, evolve
from cryptography.hazmat.primitives import serialization

from sidecar.injector.serving import Settings, serve
from sidecar.injector.template import built_in

PODS = yaml.safe_load((Path(__file__).parent / "pods.yaml").read_text())
UID = "705ab4f5-6393-11e8-b7cc-42010a800002"


@pytest.fixture(scope="session")
def pod():
    """`pod(name, annotations={}, labels={}, **spec)`: one of pods.yaml, with these added."""

    def made(name="deployment", annotations=None, labels=None, **spec):
        found = copy.deepcopy(PODS[name])
        for key, given in (("annotations", annotations), ("labels", labels)):
            if given is not None:
                found["metadata"][key] = {**found["metadata"].get(key, {}), **given}
        found["spec"].update(spec)
        return found

    return made


@pytest.fixture(scope="session")
def review():
    """`review(pod, **request)`: the AdmissionReview of its making, with keys of the request changed."""

    def made(pod, **request):
        metadata = pod.get("metadata") if isinstance(pod, dict) else {}
        named = {"name": metadata["name"]} if "name" in (metadata or {}) else {}
        return {
            "kind": "AdmissionReview",
            "apiVersion": "admission.k8s.io/v1",
            "request": {
                "uid": UID,
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
                "requestResource": {"group": "", "version": "v1", "resource": "pods"},
                **named,
                "namespace": "agents",
                "operation": "CREATE",
                "userInfo": {
                    "username": "system:serviceaccount:kube-system:replicaset-controller",
                    "uid": "a3cbd1b1-9c6a-4c5c-9a2e-2f5b8a3d1c55",
                    "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
                    "extra": {"authentication.kubernetes.io/credential-id": ["JTI=5d0e8a1c"]},
                },
                "object": pod,
                "oldObject": None,
                "dryRun": False,
                "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
                **request,
            },
        }

    return made


@define
class Answer:
    """The response of an AdmissionReview."""

    response: dict

    @property
    def warning(self):
        warnings = self.response.get("warnings", [])
        assert len(warnings) <= 1
        return warnings[0] if warnings else None

    @property
    def operations(self):
        return json.loads(base64.b64decode(self.response["patch"])) if "patch" in self.response else []

    def applied(self, pod):
        """The pod as the API server makes it of the patch."""
        return jsonpatch.apply_patch(pod, self.operations)


@pytest.fixture(scope="session")
def answer_of():
    return Answer


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@define
class Injector:
    """One that runs, and a client as an API server is one."""

    client: aiohttp.ClientSession
    port: int
    admin: str
    folder: Path
    serving: object

    async def post(self, body, **options):
        """(status, JSON)."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.client.post("/mutate?timeout=10s", data=io.BytesIO(sent), **options) as answer:
            return answer.status, await answer.json()

    async def ask(self, review):
        status, found = await self.post(review)
        assert (status, found["kind"], found["apiVersion"]) == (200, "AdmissionReview", review["apiVersion"])
        assert (found["response"]["uid"], found["response"]["allowed"]) == (review["request"]["uid"], True)
        return Answer(found["response"])

    async def metrics(self):
        async with self.client.get(f"{self.admin}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


@pytest.fixture(scope="session")
def write_pair(authority):
    """`write_pair(folder)`: a new tls.crt and tls.key, as a Secret of type kubernetes.io/tls has them."""

    def write(folder):
        issued = authority.issue_cert("127.0.0.1")
        (folder / "tls.key").write_bytes(issued.private_key_pem.bytes())
        (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))

    return write


@pytest.fixture(scope="session")
def encrypted():
    """`encrypted(key)`: the same key in PEM, behind a password."""

    def locked(key):
        found = serialization.load_pem_private_key(key, password=None)
        behind = serialization.BestAvailableEncryption(b"password")
        return found.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, behind)

    return locked


@pytest.fixture(scope="session")
def trusting(authority):
    """A client's TLS context; one for all, since it takes the system's authorities longer to load than a test to run."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
async def injector(write_pair, trusting, tmp_path):
    """`await injector(**settings)`: one on free ports, stopped when the test is over."""
    async with AsyncExitStack() as stack:

        async def begin(folder=tmp_path, **settings):
            if not (folder / "tls.crt").exists():
                write_pair(folder)
            given = Settings(
                certificate=folder / "tls.crt", key=folder / "tls.key", template=built_in(),
                address="127.0.0.1", port=0, admin_address="127.0.0.1", admin_port=0, drain_delay_s=0.0,
            )  # fmt: skip
            serving = await stack.enter_async_context(serve(evolve(given, **settings)))
            connector = aiohttp.TCPConnector(ssl=trusting)
            base = f"https://127.0.0.1:{serving.webhook.port}"
            client = await stack.enter_async_context(aiohttp.ClientSession(base, connector=connector))
            return Injector(client, serving.webhook.port, f"http://127.0.0.1:{serving.admin.port}", folder, serving)

        yield begin
