#!/usr/bin/env python3
"""Normal clients beside an attack: requests at a fixed rate, whatever the answers. Prints failures and latencies as JSON.

    tests/wall/normal.py PLAIN-PORT TLS-PORT SECONDS [CLIENTS [RATE]]

The rate is that of all together. A third each keeps its connection, makes a new one for each request, keeps one over TLS. None
waits for another. The clock of each request runs from when it was due. Those that are kept are opened before the clock starts.
"""

import http.client
import json
import math
import sys
import threading
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


class Client(threading.Thread):
    """One client, and what became of its requests."""

    def __init__(self, kept):
        super().__init__(daemon=True)
        self._kept = kept
        self.failures, self.why, self.took = 0, "", []

    def get(self):
        """Whether there was an answer."""
        try:
            self._kept.get()
        except (OSError, http.client.HTTPException) as error:
            self.failures, self.why = self.failures + 1, self.why or f"{type(error).__name__}: {error}"
            return False
        return True

    def plan(self, first, every, end):
        """Requests are due at first, and again every so many seconds until the end."""
        self._due, self._every, self._end = first, every, end

    def run(self):
        while self._due < self._end:
            time.sleep(max(0.0, self._due - time.monotonic()))
            if time.monotonic() > self._end + PATIENCE:
                # Too far behind: what was due has failed.
                self.failures += math.ceil((self._end - self._due) / self._every)
                return
            if self.get():
                self.took.append(time.monotonic() - self._due)
            self._due += self._every


def main():
    plain, tls, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    rate = float(sys.argv[5]) if len(sys.argv) > 5 else 60.0
    context = frames.client_context()
    clients = [Client([Kept(plain), Kept(plain, keep=False), Kept(tls, context)][number % 3]) for number in range(count)]
    for client in clients:
        client.get()
    begin = time.monotonic()
    for number, client in enumerate(clients):
        client.plan(begin + number / rate, count / rate, begin + seconds)
        client.start()
    for client in clients:
        client.join()
    took = sorted(time for client in clients for time in client.took)
    failures = sum(client.failures for client in clients)
    why = next((client.why for client in clients if client.why), "")
    def rank(share):
        return took[max(0, int(len(took) * share) - 1)] * 1e3 if took else None
    print(json.dumps({"clients": count, "requests": len(took) + failures, "failures": failures, "why": why, "p50_ms": rank(0.5), "p99_ms": rank(0.99)}))


if __name__ == "__main__":
    main()
