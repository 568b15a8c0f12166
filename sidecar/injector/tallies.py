"""What the injector counts. `/metrics` of its own: it is another process than the sidecars, with other numbers."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

OUTCOMES = (
    "injected",
    "present",  # the sidecar is there already: asked a second time
    "opted_out",
    "mirror",  # of a static pod
    "unsuitable",
    "wrong_annotation",
    "not_understood",
    "failed",  # a mistake of ours
)
"""What came of a review; all but `injected` leave the pod as it is."""

REFUSALS = ("no_review", "too_large", "too_slow", "not_found")
"""Why a request got no review for an answer."""

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Tallies:
    """One registry for each injector; every series is shown from the start."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reviews = self._counter("reviews", "Admission reviews that were answered.", "outcome")
        self._refusals = self._counter("refused_requests", "Requests that were no admission review.", "reason")
        self._loads = self._counter("certificate_loads", "Attempts to load the certificate and its key.", "outcome")
        self.answering = Histogram(
            "sidecar_injector_review_duration_seconds",
            "From the body of a review to its answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._loaded_at = Gauge(
            "sidecar_injector_certificate_loaded_timestamp_seconds",
            "When the certificate in use was loaded.",
            registry=self.registry,
        )
        for outcome in OUTCOMES:
            self._reviews.labels(outcome)
        for reason in REFUSALS:
            self._refusals.labels(reason)
        for outcome in ("loaded", "refused"):
            self._loads.labels(outcome)

    def reviewed(self, outcome: str) -> None:
        """`outcome` is one of `OUTCOMES`."""
        self._reviews.labels(outcome).inc()

    def refused(self, reason: str) -> None:
        """`reason` is one of `REFUSALS`."""
        self._refusals.labels(reason).inc()

    def certificate_loaded(self, at_unix_s: float) -> None:
        self._loads.labels("loaded").inc()
        self._loaded_at.set(at_unix_s)

    def certificate_refused(self) -> None:
        self._loads.labels("refused").inc()

    def _counter(self, name: str, about: str, label: str) -> Counter:
        return Counter(f"sidecar_injector_{name}", about, (label,), registry=self.registry)
