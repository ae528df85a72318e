"""Pods' traffic beside a bare veth pair: throughput, and what a round trip costs, direct and through a Service.

    python bench/network.py [--seconds 3]     (as root)

Two namespaces joined by nothing but a veth pair are the measure. Beside them, on a node of its own namespace: two pods
on the bridge, with the node's whole rules and 1,000 other Services; one pod asks the other by its address, and by that
of a Service.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from calibrate import calibrate
from results import Result, percentile, spread_ms, table
from services import piece, pods, service

_CHUNK = 1 << 17
_PORT = 8080
_OTHERS = 1000


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def in_namespace(name: str) -> None:
    """This process from now on. For processes of their own."""
    with open(f"/run/netns/{name}") as namespace:
        os.setns(namespace.fileno(), os.CLONE_NEWNET)


def serve(namespace: str) -> None:
    """Swallows what begins with `s`, echoes all else; one connection at a time."""
    in_namespace(namespace)
    with socket.create_server(("", _PORT)) as listener:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection:
                swallow = connection.recv(1) == b"s"
                while data := connection.recv(_CHUNK):
                    if not swallow:
                        connection.sendall(data)


def ask(namespace: str, address: str, port: int, seconds: float, told: Any) -> None:
    """Tells the throughput (bytes/s), and the times of round trips and of new connections (s)."""
    in_namespace(namespace)
    with socket.create_connection((address, port)) as through:
        through.sendall(b"s")
        chunk, sent, began_s = bytes(_CHUNK), 0, time.perf_counter()
        while time.perf_counter() - began_s < seconds:
            sent += through.send(chunk)
        rate = sent / (time.perf_counter() - began_s)
    trips = []
    with socket.create_connection((address, port)) as through:
        through.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        through.sendall(b"e")
        for _ in range(3000):
            began_s = time.perf_counter()
            through.sendall(b"?")
            through.recv(1)
            trips.append(time.perf_counter() - began_s)
    connections = []
    for _ in range(500):
        began_s = time.perf_counter()
        with socket.create_connection((address, port)) as through:
            connections.append(time.perf_counter() - began_s)
            through.sendall(b"s")
    told.send((rate, trips, connections))


def asked(server: str, client: str, address: str, port: int, seconds: float) -> tuple[float, list[float], list[float]]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    listening = context.Process(target=serve, args=(server,), daemon=True)
    listening.start()
    try:
        time.sleep(1.0)
        asking = context.Process(target=ask, args=(client, address, port, seconds, there), daemon=True)
        asking.start()
        found: tuple[float, list[float], list[float]] = here.recv()
        asking.join()
        return found
    finally:
        listening.terminate()
        listening.join()
