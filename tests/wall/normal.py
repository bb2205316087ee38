#!/usr/bin/env python3
"""Normal clients beside an attack: requests at a fixed rate, whatever the answers. Prints failures and latencies as JSON.

    tests/wall/normal.py PLAIN-PORT TLS-PORT SECONDS [CLIENTS [RATE]]

The clients take turns; a third each keeps its connection, makes a new one for each request, keeps one over TLS. The clock of
each request runs from when it was due. Those that are kept are opened before the clock starts.
"""

import http.client
import json
import sys
import time

import frames

PATIENCE = 5


class Kept:
    """A connection that is kept, and opened again when it was closed."""

    def __init__(self, port, context=None, keep=True):
        self._port, self._context, self._keep = port, context, keep
        self._connection = None

    def get(self):
        """Asks; another time if a connection that was kept turns out to be closed."""
        fresh = self._connection is None
        try:
            self._ask()
        except (OSError, http.client.HTTPException):
            self._forget()
            if fresh:
                raise
            self._ask()
        if not self._keep:
            self._forget()

    def _ask(self):
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
            self._connection.sock = frames.connect(self._port, PATIENCE, self._context)
        self._connection.request("GET", "/small", headers={} if self._keep else {"Connection": "close"})
        answer = self._connection.getresponse()
        if answer.status != 200 or len(answer.read()) != 130:
            raise OSError(f"answered {answer.status}")

    def _forget(self):
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def main():
    plain, tls, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    rate = float(sys.argv[5]) if len(sys.argv) > 5 else 60.0
    context = frames.client_context()
    clients = [[Kept(plain), Kept(plain, keep=False), Kept(tls, context)][number % 3] for number in range(count)]
    opening, why = 0, ""
    for client in clients:
        try:
            client.get()
        except (OSError, http.client.HTTPException) as error:
            opening, why = opening + 1, why or f"at first, {type(error).__name__}: {error}"
    begin, number, failures, took = time.monotonic(), 0, 0, []
    while (due := begin + number / rate) < begin + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        if time.monotonic() > begin + seconds + PATIENCE:
            # Too far behind: what was due has failed.
            failures += int(seconds * rate) - number
            break
        try:
            clients[number % len(clients)].get()
            took.append(time.monotonic() - due)
        except (OSError, http.client.HTTPException) as error:
            failures, why = failures + 1, why or f"{type(error).__name__}: {error}"
        number += 1
    took.sort()
    def rank(share):
        return took[max(0, int(len(took) * share) - 1)] * 1e3 if took else None
    print(json.dumps({"clients": count, "requests": number, "failures": failures + opening, "why": why, "p50_ms": rank(0.5), "p99_ms": rank(0.99)}))


if __name__ == "__main__":
    main()
