"""The traffic of a soak: each kind is a function that does one round of it and tells the account what it has sent.

What counts as a request is what the gateway promises a record for: everything of which a first byte came, also if it turns
out to be none, and each HTTP/2 connection that breaks the protocol itself. A connection that says nothing and a handshake that fails
are no requests.
"""

import itertools
import os
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import frames
from frames import Http2, connect, frame

HEAD_TIMEOUT, BODY_TIMEOUT = 2, 3


class Wrong(Exception):
    """The gateway did something else than it should have."""


class Account:
    """What was sent and what came of it, by kind. Shared by all threads."""

    def __init__(self):
        self._lock = threading.Lock()
        # Requests with a path of their own, and those that have none that could be read.
        self.named, self.unnamed = Counter(), Counter()
        self.rounds, self.wrong, self.why = Counter(), Counter(), {}

    def path(self, kind, what="small"):
        """The path of a request that is sent now: no other has it."""
        with self._lock:
            self.named[kind] += 1
            return f"/{what}/{kind}/{self.named[kind]}"

    def unreadable(self, kind, count=1):
        """Requests are sent now whose paths the gateway cannot know."""
        with self._lock:
            self.unnamed[kind] += count

    def round(self, kind, wrong=None):
        with self._lock:
            self.rounds[kind] += 1
            if wrong is not None:
                self.wrong[kind] += 1
                self.why.setdefault(kind, f"{type(wrong).__name__}: {wrong}")

    def sent(self):
        with self._lock:
            return self.named.total() + self.unnamed.total()


@dataclass
class World:
    """Where the gateway is, and the account."""

    plain: int
    tls: int
    account: Account = field(default_factory=Account)
    context: object = field(default_factory=frames.client_context)
    h2_context: object = field(default_factory=lambda: frames.client_context(["h2"]))


class Http1:
    """A connection that reads what it is answered."""

    def __init__(self, port, context=None):
        self.socket = connect(port, 10, context)
        self._received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_raised):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def head(self):
        """The status of the next response, and its fields."""
        while b"\r\n\r\n" not in self._received:
            self._more()
        head, self._received = self._received.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return int(lines[0].split()[1]), fields

    def status(self):
        """The status of the next response, whose body is read as well."""
        status, fields = self.head()
        if "chunked" in fields.get("transfer-encoding", ""):
            raise Wrong("a body in chunks, where a length was sent")
        length = int(fields.get("content-length", 0))
        while len(self._received) < length:
            self._more()
        self._received = self._received[length:]
        return status

    def exactly(self, length):
        while len(self._received) < length:
            self._more()
        data, self._received = self._received[:length], self._received[length:]
        return data

    def receive(self):
        """What comes next; nothing at the end of the connection, in order or not."""
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def is_over(self):
        """Waits for the end of the connection."""
        while self.receive():
            pass

    def break_off(self):
        """Ends it with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _more(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise Wrong(f"the connection ended after {self._received[:60]!r}")
        self._received += piece


def expect(found, *wanted):
    if found not in wanted:
        raise Wrong(f"{found} in place of {' or '.join(map(str, wanted))}")


def get(path, *fields, method="GET"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *fields, "", ""]).encode()


# --- what serves its purpose ------------------------------------------------------------------------------------------


def keep_alive(world, kind, port=None, context=None):
    with Http1(port or world.plain, context) as client:
        for _ in range(20):
            client.send(get(world.account.path(kind)))
            expect(client.status(), 200)


def over_tls(world, kind):
    keep_alive(world, kind, world.tls, world.context)


def closing(world, kind):
    with Http1(world.plain) as client:
        client.send(get(world.account.path(kind), "Connection: close"))
        expect(client.status(), 200)
        client.is_over()


def pipelined(world, kind):
    with Http1(world.plain) as client:
        client.send(b"".join(get(world.account.path(kind)) for _ in range(5)))
        for _ in range(5):
            expect(client.status(), 200)


def upload(world, kind):
    body = os.urandom(64 * 1024)
    with Http1(world.plain) as client:
        client.send(get(world.account.path(kind), f"Content-Length: {len(body)}", method="POST") + body)
        expect(client.status(), 200)
        client.send(get(world.account.path(kind), "Transfer-Encoding: chunked", method="POST"))
        client.send(b"".join(b"%x\r\n%s\r\n" % (4096, body[at:at + 4096]) for at in range(0, len(body), 4096)) + b"0\r\n\r\n")
        expect(client.status(), 200)


def large(world, kind):
    with Http1(world.tls, world.context) as client:
        client.send(get(world.account.path(kind, "large")))
        expect(client.status(), 200)


def websocket(world, kind):
    with Http1(world.plain) as client:
        client.send(get(world.account.path(kind, "echo"), "Connection: Upgrade", "Upgrade: websocket",
                        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        expect(client.head()[0], 101)
        for size in (1, 100, 5_000):
            message = os.urandom(size)
            client.send(message)
            expect(client.exactly(size) == message, True)


def http2(world, kind, port=None, context=None):
    with Http2(port or world.plain, context) as client:
        streams = range(1, 41, 2)
        for stream in streams:
            block = frames.request(world.account.path(kind))
            client.send(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream, block))
        for end in client.answers(streams).values():
            expect(end, "200")
        client.send(frame(frames.GOAWAY, 0, 0, bytes(8)))


def http2_over_tls(world, kind):
    http2(world, kind, world.tls, world.h2_context)


def http2_upload(world, kind):
    with Http2(world.tls, world.h2_context) as client:
        block = frames.request(world.account.path(kind), b"POST")
        client.send(frame(frames.HEADERS, frames.END_HEADERS, 1, block))
        for _ in range(3):
            client.send(frame(frames.DATA, 0, 1, bytes(16_000)))
        client.send(frame(frames.DATA, frames.END_STREAM, 1))
        expect(client.answers([1])[1], "200")


# --- what does not ----------------------------------------------------------------------------------------------------

# Heads that are refused, each with what comes before its path and after it.
REFUSED = [
    ("GET ", " HTTP/1.1\r\n\r\n"),
    ("GET ", " HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("GET ", " HTTP/1.1\r\nHost: localhost\r\n no: fold\r\n\r\n"),
    ("GET ", " HTTP/1.1\r\nHost: localhost\r\nname : value\r\n\r\n"),
    ("GET ", " HTTP/1.1\r\nHost: localhost\r\nnul: a\0b\r\n\r\n"),
    ("GET ", " HTTP/1.1\r\nHost: localhost\r\nno-colon\r\n\r\n"),
    ("GET ", " HTTP/1.1\nHost: localhost\n\n"),
    ("GET ", "\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("G T ", " HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("GET ", "\r\n"),
    ("GET ", " HTTP/3.7\r\nHost: localhost\r\n\r\n"),
    ("GET ", " HTTP/1.1\r\nHost: localhost\r\n" + "x: y\r\n" * 200 + "\r\n"),
    ("GET ", " HTTP/1.1\r\nHost: localhost\r\nlong: " + "x" * 40_000 + "\r\n\r\n"),
    ("GET ", "x" * 9_000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("POST ", " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("POST ", " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4, 5\r\n\r\n1234"),
    ("POST ", " HTTP/1.1\r\nHost: localhost\r\nContent-Length: +4\r\n\r\n1234"),
    ("POST ", " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("POST ", " HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("TRACE ", " HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("CONNECT ", " HTTP/1.1\r\nHost: localhost\r\n\r\n"),
]
REFUSALS = itertools.cycle(REFUSED)


def malformed(world, kind):
    before, after = next(REFUSALS)
    with Http1(world.plain) as client:
        world.account.unreadable(kind)
        client.send((before + "/small/" + kind + after).encode("latin-1"))
        expect(client.status() in range(400, 600), True)
        client.is_over()


def malformed_after_good(world, kind):
    """One that is served, one that is refused, and one that nobody may see."""
    with Http1(world.tls, world.context) as client:
        good = get(world.account.path(kind))
        world.account.unreadable(kind)
        client.send(good + b"GET /small HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + get("/unseen"))
        expect(client.status(), 200)
        expect(client.status(), 400)
        client.is_over()


def bad_chunks(world, kind):
    with Http1(world.plain) as client:
        client.send(get(world.account.path(kind), "Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\r\n0x5\r\nhello\r\n")
        expect(client.status(), 400)
        client.is_over()


def slow_head(world, kind):
    with Http1(world.plain) as client:
        world.account.unreadable(kind)
        client.send(b"GET /small HTTP/1.1\r\nHost: loc")
        for _ in range(2):
            time.sleep(0.5)
            client.send(b"a")
        expect(client.status(), 408)


def cut_head(world, kind):
    with Http1(world.plain) as client:
        world.account.unreadable(kind)
        client.send(b"GET /small HTTP/1.1\r\nHo")


def slow_body(world, kind):
    with Http1(world.plain) as client:
        client.send(get(world.account.path(kind), "Content-Length: 100000", method="POST") + b"x" * 1_000)
        expect(client.status(), 408)


def cut_body(world, kind):
    with Http1(world.plain) as client:
        client.send(get(world.account.path(kind), "Content-Length: 100000", method="POST") + b"x" * 1_000)


def reader_gone(world, kind):
    with Http1(world.plain) as client:
        client.send(get(world.account.path(kind, "large")))
        expect(client.head()[0], 200)
        client.break_off()


def tunnel_cut(world, kind):
    with Http1(world.plain) as client:
        client.send(get(world.account.path(kind, "echo"), "Connection: Upgrade", "Upgrade: websocket"))
        expect(client.head()[0], 101)
        client.send(b"x" * 5_000)
        client.exactly(1)
        client.break_off()


def origin_dies(world, kind):
    with Http1(world.plain) as client:
        client.send(get(world.account.path(kind, "dies")))
        got = b""
        # How much comes before the end is not promised; that it is not all of it is.
        while piece := client.receive():
            got += piece
        expect(len(got) < 256 * 1024, True)


def origin_lies(world, kind):
    with Http1(world.plain) as client:
        client.send(get(world.account.path(kind, "garbage")))
        expect(client.status(), 502)


def silent(world, _kind):
    connect(world.plain).close()
    connect(world.tls).close()
    connect(world.tls, 10, world.context).close()


def bad_handshake(world, _kind):
    with Http1(world.tls) as client:
        client.send(get("/small"))
        client.is_over()


def http2_resets(world, kind):
    with Http2(world.tls, world.h2_context) as client:
        for stream in range(1, 21, 2):
            block = frames.request(world.account.path(kind))
            client.send(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream, block)
                        + frame(frames.RST_STREAM, 0, stream, struct.pack(">I", frames.CANCEL)))
        # What comes back for the last one says that all have been seen.
        client.send(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 21, frames.request(world.account.path(kind))))
        expect(client.answers([21])[21], "200")


def http2_never_reads(world, kind):
    """No window for the body of a response that comes, and then the end."""
    no_window = struct.pack(">HI", frames.INITIAL_WINDOW_SIZE, 0)
    with Http2(world.tls, world.h2_context, no_window) as client:
        block = frames.request(world.account.path(kind, "large"))
        client.send(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, block))
        while (got := client.receive()) is not None and got[0] != frames.HEADERS:
            pass
        expect(got is not None, True)


BROKEN = itertools.cycle([
    frame(frames.DATA, 0, 0, b"x"),
    frame(frames.PING, 0, 1, bytes(8)),
    frame(frames.PING, 0, 0, bytes(7)),
    frame(frames.SETTINGS, 0, 0, bytes(5)),
    frame(frames.WINDOW_UPDATE, 0, 0, bytes(4)),
    frame(frames.CONTINUATION, frames.END_HEADERS, 1, b"\x82"),
    frame(frames.HEADERS, 0, 1, b"\x82") + frame(frames.CONTINUATION, 0, 1, b"\0\1a\1b" * 1_000) * 50,
    frame(frames.HEADERS, frames.END_HEADERS, 2, frames.request("/small")),
    frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"),
])


def http2_broken(world, kind):
    with Http2(world.plain) as client:
        world.account.unreadable(kind)
        try:
            client.send(next(BROKEN))
            while client.receive() is not None:
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass


# Each with the rounds of it in a second.
KINDS = {
    keep_alive: 2, over_tls: 1, closing: 10, pipelined: 3, upload: 2, large: 2, websocket: 2, http2: 1, http2_over_tls: 1,
    http2_upload: 2,
    malformed: 10, malformed_after_good: 2, bad_chunks: 2, slow_head: 0.4, cut_head: 4, slow_body: 0.3, cut_body: 3,
    reader_gone: 3, tunnel_cut: 2, origin_dies: 2, origin_lies: 2, silent: 2, bad_handshake: 1, http2_resets: 2,
    http2_never_reads: 1, http2_broken: 3,
}


def keep_doing(world, do, rate, stopped):
    """Rounds of one kind at its rate, until it is stopped. A round that takes longer than its time is not made up for."""
    kind, due = do.__name__, time.monotonic()
    while not stopped.wait(max(0, due - time.monotonic())):
        due = max(due + 1 / rate, time.monotonic() - 1)
        try:
            do(world, kind)
        except (Wrong, OSError, ValueError) as error:
            world.account.round(kind, error)
        else:
            world.account.round(kind)
