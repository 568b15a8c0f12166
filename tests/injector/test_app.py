"""The webhook over TLS, and its other port, as those who call them see them."""

import asyncio
import gzip
import json
import logging
import ssl

import pytest

from sidecar.injector.app import MAX_BODY_BYTES, State, Webhook
from sidecar.injector.sockets import listening
from sidecar.injector.tallies import OUTCOMES, Tallies
from sidecar.injector.template import built_in


async def test_a_pod_goes_there_and_back(injector, pod, review):
    running = await injector()
    given = pod("cronjob")
    answer = await running.ask(review(given))
    assert answer.response["patchType"] == "JSONPatch"
    after = answer.applied(given)
    assert [each["name"] for each in after["spec"]["initContainers"]] == ["llm-sidecar", "fetch", "summarise"]
    assert (await running.ask(review(after))).operations == []


async def test_many_at_once_each_get_their_own_uid(injector, pod, review):
    running = await injector()
    asked = [review(pod("deployment"), uid=f"uid-{number}") for number in range(50)]
    answers = await asyncio.gather(*map(running.ask, asked))
    assert [answer.response["uid"] for answer in answers] == [f"uid-{number}" for number in range(50)]


async def test_every_outcome_is_counted(injector, pod, review):
    running = await injector()
    injected = (await running.ask(review(pod("bare")))).applied(pod("bare"))
    for asked in (
        injected,
        pod("bare", {"llm-sidecar/inject": "false"}),
        pod("bare", {"kubernetes.io/config.mirror": "1"}),
        pod("bare", {"llm-sidecar/config": "?"}),
        pod("bare", hostNetwork=True),
        None,
    ):
        await running.ask(review(asked))
    found = await running.metrics()
    counts = {outcome: found[f'sidecar_injector_reviews_total{{outcome="{outcome}"}}'] for outcome in OUTCOMES}
    assert counts == {**dict.fromkeys(OUTCOMES, 1.0), "failed": 0.0}
    assert found["sidecar_injector_review_duration_seconds_count"] == 7


@pytest.mark.parametrize("body", [b"", b"{", b'{"kind":"Pod"}'])
async def test_what_is_no_review_is_400_and_counted(injector, body):
    running = await injector()
    status, answer = await running.post(body)
    assert (status, answer["error"]["code"]) == (400, "no_admission_review")
    assert (await running.metrics())['sidecar_injector_refused_requests_total{reason="no_review"}'] == 1


@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_over_the_limit_is_413_packed_or_not(injector, packed):
    running = await injector()
    body = b" " * (MAX_BODY_BYTES + 1)
    headers = {"content-encoding": "gzip"} if packed else {}
    status, answer = await running.post(gzip.compress(body, 1) if packed else body, headers=headers)
    assert (status, answer["error"]["code"]) == (413, "body_too_large")


async def test_a_review_up_to_the_limit_is_read(injector, pod, review):
    running = await injector()
    asked = review(pod("bare", {"note": ""}))
    asked["request"]["object"]["metadata"]["annotations"]["note"] = "x" * (MAX_BODY_BYTES - len(json.dumps(asked)))
    assert (await running.ask(asked)).operations


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/mutate", 405), ("POST", "/", 404), ("GET", "/metrics", 404)]
)
async def test_nothing_else_is_served_on_the_webhooks_port(injector, method, path, status):
    running = await injector()
    async with running.client.request(method, path) as answer:
        assert (answer.status, "POST /mutate" in (await answer.json())["error"]["message"]) == (status, True)


@pytest.mark.parametrize(("path", "status"), [("/ready", 200), ("/live", 200), ("/metrics", 200), ("/mutate", 404)])
async def test_the_other_port_has_readiness_liveness_and_metrics_only(injector, path, status):
    running = await injector()
    async with running.client.get(running.admin + path) as answer:
        assert answer.status == status


async def test_what_speaks_no_tls_gets_no_answer_and_the_next_client_does(injector, pod, review):
    running = await injector()
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n")
    assert not (await reader.read()).startswith(b"HTTP")
    writer.close()
    assert (await running.ask(review(pod("bare")))).operations


async def test_old_versions_of_tls_are_refused(injector, authority):
    running = await injector()
    old = ssl.create_default_context()
    authority.configure_trust(old)
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    old.options &= ~ssl.OP_NO_TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", running.port, ssl=old)


async def test_a_body_that_does_not_come_is_given_up_on():
    tallies = Tallies()
    app = Webhook(built_in(), tallies, State(ready=True), body_s=0.05).build()
    async with listening(app, "127.0.0.1", 0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        writer.write(b"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()
    assert tallies.registry.get_sample_value("sidecar_injector_refused_requests_total", {"reason": "too_slow"}) == 1


@pytest.mark.parametrize("sent", [b"", b"POST /mutate HTTP/1.1\r\nhost:"])
async def test_a_connection_without_a_head_is_closed(sent):
    app = Webhook(built_in(), Tallies(), State(ready=True)).build()
    async with listening(app, "127.0.0.1", 0, head_s=0.05) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        writer.write(sent)
        assert await reader.read() == b""
        writer.close()


async def test_a_connection_that_was_heard_is_kept_past_that_time():
    app = Webhook(built_in(), Tallies(), State(ready=True)).build()
    async with listening(app, "127.0.0.1", 0, head_s=0.05) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        for _ in range(2):
            writer.write(b"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(REVIEW), REVIEW))
            assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
            await asyncio.sleep(0.1)
        writer.close()


REVIEW = b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1"}}'


async def test_a_malformed_chunk_is_refused_and_not_waited_for():
    app = Webhook(built_in(), Tallies(), State(ready=True), body_s=0.2).build()
    async with listening(app, "127.0.0.1", 0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        writer.write(b"POST /mutate HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
        assert (await reader.readline()).split()[1] in (b"400", b"408")
        writer.close()


async def test_the_log_has_the_pods_name_and_nothing_of_what_is_in_it(injector, pod, review, caplog):
    running = await injector()
    given = pod("deployment")
    given["spec"]["containers"][1]["env"] = [{"name": "KEY", "value": "canary"}]
    with caplog.at_level(logging.DEBUG, "sidecar"):
        await running.ask(review(given))
        await running.ask(review({**given, "spec": {**given["spec"], "hostNetwork": True}}))
    assert [record.message for record in caplog.records] == [
        "agents/agent-7c9d8f6b5-… gets the sidecar",
        "agents/agent-7c9d8f6b5-… left as it is (unsuitable): it is on the host's network, where the ports of the "
        "sidecar would be every pod's",
    ]
