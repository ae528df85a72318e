"""Which metrics cAdvisor shows of a cgroup: names, types and help are its own, and what each is read from.

Source: cAdvisor metrics/prometheus.go.
"""

from __future__ import annotations

from collections.abc import Callable

from tiphys.kubelet.cgroups import PERIOD_US
from tiphys.kubelet.stats.cgroup_usage import Usage

Read = Callable[[Usage], float]
CGROUP: tuple[tuple[str, str, str, Read], ...] = (
    (
        "container_cpu_user_seconds_total",
        "counter",
        "Cumulative user cpu time consumed in seconds.",
        lambda u: u.cpu_user_ns / 1e9,
    ),
    (
        "container_cpu_system_seconds_total",
        "counter",
        "Cumulative system cpu time consumed in seconds.",
        lambda u: u.cpu_system_ns / 1e9,
    ),
    ("container_memory_cache", "gauge", "Number of bytes of page cache memory.", lambda u: u.cache_bytes),
    ("container_memory_rss", "gauge", "Size of RSS in bytes.", lambda u: u.rss_bytes),
    ("container_memory_kernel_usage", "gauge", "Size of kernel memory allocated in bytes.", lambda u: u.kernel_bytes),
    ("container_memory_mapped_file", "gauge", "Size of memory mapped files in bytes.", lambda u: u.mapped_bytes),
    ("container_memory_swap", "gauge", "Container swap usage in bytes.", lambda u: u.swap_bytes),
    ("container_memory_failcnt", "counter", "Number of memory usage hits limits", lambda u: u.memory_failures),
    (
        "container_memory_usage_bytes",
        "gauge",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        lambda u: u.memory_bytes,
    ),
    (
        "container_memory_max_usage_bytes",
        "gauge",
        "Maximum memory usage recorded in bytes",
        lambda u: u.memory_peak_bytes,
    ),
    ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", lambda u: u.working_set_bytes),
    (
        "container_memory_total_active_file_bytes",
        "gauge",
        "Current total active file in bytes.",
        lambda u: u.active_file_bytes,
    ),
    (
        "container_memory_total_inactive_file_bytes",
        "gauge",
        "Current total inactive file in bytes.",
        lambda u: u.inactive_file_bytes,
    ),
    ("container_processes", "gauge", "Number of processes running inside the container.", lambda u: u.processes),
    (
        "container_oom_events_total",
        "counter",
        "Count of out of memory events observed for the container",
        lambda u: u.oom_kills,
    ),
    ("container_spec_cpu_period", "gauge", "CPU period of the container.", lambda _u: PERIOD_US),
    ("container_spec_cpu_shares", "gauge", "CPU share of the container.", lambda u: u.cpu_shares),
    ("container_spec_memory_limit_bytes", "gauge", "Memory limit for the container.", lambda u: u.memory_limit_bytes),
)
THROTTLING: tuple[tuple[str, str, str, Read], ...] = (
    (
        "container_cpu_cfs_periods_total",
        "counter",
        "Number of elapsed enforcement period intervals.",
        lambda u: u.cfs_periods,
    ),
    (
        "container_cpu_cfs_throttled_periods_total",
        "counter",
        "Number of throttled period intervals.",
        lambda u: u.cfs_throttled_periods,
    ),
    (
        "container_cpu_cfs_throttled_seconds_total",
        "counter",
        "Total time duration the container has been throttled.",
        lambda u: u.cfs_throttled_ns / 1e9,
    ),
    ("container_spec_cpu_quota", "gauge", "CPU quota of the container.", lambda u: u.cpu_quota_us),
)
PRESSURES: tuple[tuple[str, str, int, str], ...] = (
    (
        "container_pressure_cpu_stalled_seconds_total",
        "cpu",
        1,
        "Total time duration no tasks in the container could make progress due to CPU congestion.",
    ),
    (
        "container_pressure_cpu_waiting_seconds_total",
        "cpu",
        0,
        "Total time duration tasks in the container have waited due to CPU congestion.",
    ),
    (
        "container_pressure_memory_stalled_seconds_total",
        "memory",
        1,
        "Total time duration no tasks in the container could make progress due to memory congestion.",
    ),
    (
        "container_pressure_memory_waiting_seconds_total",
        "memory",
        0,
        "Total time duration tasks in the container have waited due to memory congestion.",
    ),
    (
        "container_pressure_io_stalled_seconds_total",
        "io",
        1,
        "Total time duration no tasks in the container could make progress due to IO congestion.",
    ),
    (
        "container_pressure_io_waiting_seconds_total",
        "io",
        0,
        "Total time duration tasks in the container have waited due to IO congestion.",
    ),
)
NETWORK: tuple[tuple[str, str, str], ...] = (
    ("container_network_receive_bytes_total", "rx_bytes", "Cumulative count of bytes received"),
    ("container_network_receive_packets_total", "rx_packets", "Cumulative count of packets received"),
    (
        "container_network_receive_packets_dropped_total",
        "rx_dropped",
        "Cumulative count of packets dropped while receiving",
    ),
    ("container_network_receive_errors_total", "rx_errors", "Cumulative count of errors encountered while receiving"),
    ("container_network_transmit_bytes_total", "tx_bytes", "Cumulative count of bytes transmitted"),
    ("container_network_transmit_packets_total", "tx_packets", "Cumulative count of packets transmitted"),
    (
        "container_network_transmit_packets_dropped_total",
        "tx_dropped",
        "Cumulative count of packets dropped while transmitting",
    ),
    (
        "container_network_transmit_errors_total",
        "tx_errors",
        "Cumulative count of errors encountered while transmitting",
    ),
)
