"""How many ranges a reader has under way, by what it sees of the network."""

from __future__ import annotations

import pytest

from aiostow._pace import Pace

MIB = 1 << 20
CHUNK = 256 << 10


class Network:
    """A simulated network: each connection gives so much, all together at most so much."""

    def __init__(self, connection: float, total: float = 1e12, consumer: float = 1e12) -> None:
        self.connection, self.total, self.consumer = connection, total, consumer
        self.pace = Pace(16, 4 * MIB)
        self.now = 100.0
        self.depths = [1]

    def read(self, size: int) -> None:
        left = size
        while left > 0:
            rate = min(self.connection * self.pace.depth, self.total)
            network, consumer = CHUNK / rate, CHUNK / self.consumer
            self.now += max(network, consumer)
            self.pace.came(CHUNK, max(network - consumer, 0.0), self.now)
            if self.pace.depth != self.depths[-1]:
                self.depths.append(self.pace.depth)
            left -= CHUNK


def test_a_fast_stream_stays_alone() -> None:
    network = Network(connection=600 * MIB)
    network.read(1024 * MIB)
    assert network.depths == [1]


def test_a_slow_stream_is_widened_within_the_first_window() -> None:
    network = Network(connection=40 * MIB)
    network.read(3 * MIB)
    assert network.depths == [1, 8]


def test_a_very_slow_stream_is_widened_by_time_not_by_bytes() -> None:
    network = Network(connection=1 * MIB)
    network.read(1 * MIB)
    assert network.pace.depth == 8


def test_it_widens_further_while_that_brings_something() -> None:
    network = Network(connection=40 * MIB)
    network.read(512 * MIB)
    assert network.depths[:3] == [1, 8, 16]
    assert network.pace.depth == 16


def test_what_brings_nothing_is_taken_back() -> None:
    network = Network(connection=40 * MIB, total=41 * MIB)
    network.read(512 * MIB)
    assert network.depths[:3] == [1, 8, 1]
    assert network.depths.count(8) <= 3  # tried again, ever more rarely


def test_a_slow_consumer_needs_no_more_connections() -> None:
    network = Network(connection=40 * MIB, consumer=20 * MIB)
    network.read(256 * MIB)
    assert network.depths == [1]


def test_a_network_that_becomes_slow_is_noticed() -> None:
    network = Network(connection=600 * MIB)
    network.read(256 * MIB)
    network.connection = 30 * MIB
    network.read(64 * MIB)
    assert network.pace.depth >= 8


@pytest.mark.parametrize("deepest", [1, 4, 8])
def test_it_never_goes_beyond_what_the_source_can_use(deepest: int) -> None:
    network = Network(connection=5 * MIB)
    network.pace = Pace(deepest, 4 * MIB)
    network.read(512 * MIB)
    assert max(network.depths) <= deepest


def test_the_time_to_the_first_byte_is_not_held_against_a_stream() -> None:
    pace = Pace(16, 4 * MIB)
    assert not pace.came(CHUNK, 5.0, 105.0)  # five seconds of waiting
    for step in range(1, 20):
        pace.came(CHUNK, 0.0004, 105.0 + step * 0.0005)
    assert pace.depth == 1
