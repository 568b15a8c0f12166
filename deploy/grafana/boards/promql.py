"""
The shapes of PromQL the dashboards are made of.

Every series is chosen by the variables of the dashboard. All namespaces and all pods are ".*", which also takes series
without such a label, so a plain scrape of one host shows up as a Kubernetes one does.
"""

TARGETS = ('job=~"$job"', 'namespace=~"$namespace"', 'pod=~"$pod"')
INSTANCE = ("pod", "instance")
"""Which sidecar: `instance` alone tells outside Kubernetes, `pod` is the readable one inside."""
INSTANCE_LEGEND = "{{pod}} {{instance}}"


def series(metric: str, *matchers: str) -> str:
    """The metric of the sidecars chosen above; `matchers` such as 'outcome="hit"'."""
    return f"{metric}{{{', '.join((*matchers, *TARGETS))}}}"


def rate(metric: str, *matchers: str) -> str:
    """Per second."""
    return f"rate({series(metric, *matchers)}[$__rate_interval])"


def increase(metric: str, *matchers: str) -> str:
    """Over the whole time shown."""
    return f"increase({series(metric, *matchers)}[$__range])"


def total(expr: str, *by: str) -> str:
    """Summed over all labels but `by`."""
    return f"sum by ({', '.join(by)}) ({expr})" if by else f"sum({expr})"


def share(part: str, whole: str) -> str:
    """
    `part` of `whole`, both summed by the same labels.

    Nothing where there was nothing to share, rather than 0/0; and 0 where `part` has never been counted, so that its
    series does not exist yet.
    """
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def quantile(rank: float, histogram: str, *by: str) -> str:
    """The `rank` quantile, 0 to 1. Not a number where nothing was observed, which Grafana draws as a gap."""
    return f"histogram_quantile({rank:g}, {total(rate(f'{histogram}_bucket'), 'le', *by)})"


def mean(histogram: str, *by: str) -> str:
    """The mean of what was observed; nothing where nothing was."""
    return f"{total(rate(f'{histogram}_sum'), *by)} / ({total(rate(f'{histogram}_count'), *by)} > 0)"
