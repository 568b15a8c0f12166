"""
An AdmissionReview and its answer.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#webhook-request-and-response
The answer always allows: with a patch, or without one and, where something was not as it should be, with a warning.
Only what is no AdmissionReview at all has no answer, for want of a uid to answer to.
"""

import base64
import logging
from typing import Any

import msgspec
from attrs import frozen

from sidecar.errors import RequestError
from sidecar.injector.patch import Operation, patch_of
from sidecar.injector.pod import Left, check_suitable, check_wanted, pod_of
from sidecar.injector.shaping import shaped
from sidecar.injector.template import Template
from sidecar.injector.wishes import wishes_of
from sidecar.telemetry.quoting import printable

log = logging.getLogger("sidecar.injector")

GROUP = "admission.k8s.io/"
VERSION = "admission.k8s.io/v1"
PODS = {"group": "", "version": "v1"}
LONGEST_WARNING = 250
"""Characters. The API server cuts warnings of more than 256."""


class NoReview(RequestError):
    """The body is no AdmissionReview."""

    code = "no_admission_review"


@frozen
class Review:
    version: str
    """`apiVersion`, which the answer must have too."""
    uid: str
    request: dict[str, Any]


@frozen
class Verdict:
    """`outcome` is one of `tallies.OUTCOMES`; without operations the pod stays as it is."""

    outcome: str
    operations: list[Operation]
    warning: str | None = None


def review_of(body: bytes) -> Review:
    """Raises NoReview."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise NoReview("the body is not JSON") from exc
    if not isinstance(found, dict) or found.get("kind") != "AdmissionReview":
        raise NoReview("the body is no AdmissionReview")
    version, request = found.get("apiVersion"), found.get("request")
    if not isinstance(version, str) or not version.startswith(GROUP):
        raise NoReview(f"the apiVersion is not of {GROUP}")
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str) or not request["uid"]:
        raise NoReview("the AdmissionReview has no request with a uid")
    return Review(version, request["uid"], request)


def judged(review: Review, template: Template) -> Verdict:
    """Never raises for anything that a review may hold."""
    try:
        _check_kind(review)
        pod = pod_of(review.request.get("object"))
        check_wanted(pod, template)
        check_suitable(pod, template)
        wishes = wishes_of(pod)
        return Verdict("injected", patch_of(pod, template, wishes, shaped(template, wishes)))
    except Left as left:
        return Verdict(left.outcome, [], left.warning)
    except Exception:  # the last resort, with the cause in the log: a mistake of ours stops no pod
        log.exception("a review failed: the pod is allowed as it is")
        return Verdict("failed", [], "the injector failed: its log has the cause")


def answer_to(review: Review, verdict: Verdict) -> bytes:
    """The AdmissionReview that the API server waits for."""
    response: dict[str, Any] = {"uid": review.uid, "allowed": True}
    if verdict.operations:
        patch = base64.b64encode(msgspec.json.encode(verdict.operations)).decode()
        response |= {"patchType": "JSONPatch", "patch": patch}
    if verdict.warning is not None:
        response["warnings"] = [printable(f"llm-sidecar not injected: {verdict.warning}", LONGEST_WARNING)]
    return msgspec.json.encode({"apiVersion": review.version, "kind": "AdmissionReview", "response": response})


def _check_kind(review: Review) -> None:
    """Raises Left for everything but the making of a pod."""
    request = review.request
    if review.version != VERSION:
        raise Left("not_understood", f"{review.version} is not {VERSION}")
    kind, resource = request.get("kind"), request.get("resource")
    if kind != {**PODS, "kind": "Pod"} or resource != {**PODS, "resource": "pods"} or request.get("subResource"):
        raise Left("not_understood", "this is no pod")
    if request.get("operation") != "CREATE":
        raise Left("not_understood", f"operation {request.get('operation')!r} is not CREATE")


def name_of(review: Review) -> str:
    """The pod, for a log: `default/agent-7c9d-…`. One that a controller makes has no name of its own yet."""
    request = review.request
    found = request.get("object")
    metadata = found.get("metadata") if isinstance(found, dict) else None
    prefix = metadata.get("generateName") if isinstance(metadata, dict) else None
    name = request.get("name") or (f"{prefix}…" if prefix else "?")
    return printable(f"{request.get('namespace')}/{name}")
