"""The text that Prometheus reads."""

from __future__ import annotations

from tiphys.base.metrics import Metrics


def test_the_page() -> None:
    metrics = Metrics()
    requests = metrics.counter("requests_total", "Requests.", "verb")
    seconds = metrics.histogram("seconds", "Time.", (0.1, 1.0), "verb")
    metrics.gauge("up", "Is up.", read=lambda: 1)
    requests.inc('G"ET')
    requests.inc('G"ET')
    for value in (0.1, 0.5, 5.0):
        seconds.observe(value, "GET")
    assert metrics.render().decode().splitlines() == [
        "# HELP requests_total Requests.",
        "# TYPE requests_total counter",
        'requests_total{verb="G\\"ET"} 2',
        "# HELP seconds Time.",
        "# TYPE seconds histogram",
        'seconds_bucket{verb="GET",le="0.1"} 1',
        'seconds_bucket{verb="GET",le="1"} 2',
        'seconds_bucket{verb="GET",le="+Inf"} 3',
        'seconds_sum{verb="GET"} 5.6',
        'seconds_count{verb="GET"} 3',
        "# HELP up Is up.",
        "# TYPE up gauge",
        "up 1",
    ]
