"""Pages into use."""

from __future__ import annotations

import pytest

from tiphys.addons.metrics.samples import Page, Point, Use, pod_uses, quantities, read_page, span, use

PAGE = """# HELP node_cpu_usage_seconds_total x
node_cpu_usage_seconds_total 3.5 1000250
node_memory_working_set_bytes 600 1000250
container_cpu_usage_seconds_total{container="main",namespace="shop",pod="web"} 1.5 1000500
container_memory_working_set_bytes{container="main",namespace="shop",pod="web"} 3e+02 1000500
container_start_time_seconds{container="main",namespace="shop",pod="web"} 990.5 1000500
pod_cpu_usage_seconds_total{namespace="shop",pod="web"} 9 1000500
container_cpu_usage_seconds_total{container="main" broken
node_cpu_usage_seconds_total notanumber 1
resource_scrape_error 0
"""


def test_a_page() -> None:
    page = read_page(PAGE)
    assert page.node == Point(1000.25, 3.5, 600)
    assert page.pods == {("shop", "web"): {"main": Point(1000.5, 1.5, 300, 990.5)}}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (Point(100, 5, 1), Point(110, 8, 700), Use(110, 10, 300_000_000, 700)),
        (None, Point(110, 8, 700, 100), Use(110, 10, 800_000_000, 700)),  # since it began
        (Point(100, 5, 1, 50), Point(110, 2, 700, 106), Use(110, 4, 500_000_000, 700)),  # restarted since
        (Point(100, 5, 1), Point(110, 2, 700), None),  # went back, and no start is known
        (None, Point(110, 8, 700), None),
        (Point(100, 5, 1), Point(100.1, 8, 700), None),  # too near
        (Point(100, 5, 1), Point(110, 8), None),  # no memory
        (Point(100, -1, 1), Point(110, 8, 700), None),  # nothing before
    ],
)
def test_use(before: Point | None, after: Point, expected: Use | None) -> None:
    assert use(before, after) == expected


def test_a_pod_with_an_unknown_container_is_left_out() -> None:
    known, unknown = Point(110, 8, 700, 100), Point(110, -1, 700, 100)
    after = Page(pods={("a", "whole"): {"x": known}, ("a", "part"): {"x": known, "y": unknown}})
    assert list(pod_uses(Page(), after)) == [("a", "whole")]


def test_quantities_round_memory_up() -> None:
    assert quantities(Use(1, 1, 5, 1025)) == {"cpu": "5n", "memory": "2Ki"}
    assert quantities(Use(1, 1, 0, 0)) == {"cpu": "0", "memory": "0Ki"}


def test_span_of_containers() -> None:
    assert span([Use(10, 5, 0, 0), Use(9, 7, 0, 0)]) == (9, 7)
