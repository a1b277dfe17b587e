"""Ask examples/flight_server.py who you are.

python examples/flight_client.py grpc://127.0.0.1:PORT a-key-of-at-least-16-bytes [the-user-you-work-for]
"""

import sys

import pyarrow.flight as flight


def main() -> None:
    """Call the server with a key or token, and print its answer."""
    location, token, *user = sys.argv[1:]
    headers = [(b"authorization", f"Bearer {token}".encode()), (b"x-client-type", b"example")]
    headers += [(b"x-user-id", name.encode()) for name in user]
    with flight.connect(location) as client:
        reader = client.do_get(flight.Ticket(b"who am I?"), flight.FlightCallOptions(headers=headers))
        print(reader.read_all().to_pylist()[0])


if __name__ == "__main__":
    main()
