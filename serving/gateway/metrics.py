"""What the gateway counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """The counters of one gateway, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "rats_requests", "Generation requests by HTTP status; 499: the caller left.", ["status"],
            registry=self._registry,
        )  # fmt: skip
        self.pictures = Counter(
            "rats_pictures", "Pictures drawn, by model and step count.", ["model", "steps"], registry=self._registry
        )
        self.withheld = Counter(
            "rats_pictures_withheld", "Pictures that the guard kept back.", ["model"], registry=self._registry
        )
        self.seconds = Histogram(
            "rats_request_seconds", "From a request to its pictures, by model and step count.", ["model", "steps"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self.waiting = Gauge("rats_requests_in_flight", "Requests that wait for pictures.", registry=self._registry)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)
