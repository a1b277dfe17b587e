"""A query that keeps the cores busy must not keep the others waiting."""

import os
from concurrent.futures import ThreadPoolExecutor

import pyarrow.flight as flight
from micromegas_server.flight_sql.messages import statement_ticket
from support.flight_server import FlightServer

# A join without a condition: for each batch of `small`, DataFusion works some seconds without giving its thread back.
HEAVY = "SELECT count(*) FROM large CROSS JOIN small WHERE large.v + small.v = -1"


def test_joins_without_a_condition_do_not_stall_the_others(server: FlightServer) -> None:
    server.write("large", {"v": list(range(200_000))})
    for core in range(os.cpu_count() or 1):
        server.write("small", {"v": list(range(8000))}, f"{core}.parquet")
    with ThreadPoolExecutor(2) as pool:
        heavy = [pool.submit(run, server) for _ in range(2)]
        server.records.wait_for("running", 2)
        assert server.column("SELECT 1") == [1]
        assert not any(query.done() for query in heavy)
        assert [query.result() for query in heavy] == [[0], [0]]


def run(server: FlightServer) -> list[int]:
    reader = server.client.do_get(flight.Ticket(statement_ticket(HEAVY)), server.options(timeout=120))
    count: list[int] = reader.read_all().column(0).to_pylist()
    return count
