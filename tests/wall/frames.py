"""HTTP/2 by hand (RFC 9113): frames, header blocks without compression, and a connection that obeys nobody."""

import socket
import ssl
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
ACK = END_STREAM = 1
END_HEADERS = 4
CANCEL = 8
INITIAL_WINDOW_SIZE = 4
# How `:status: 200` begins a header block: by its place in the static table (RFC 7541 appendix A).
STATUS_200 = 0x88
# A connection's first block may begin with the size of a table that is not used (RFC 7541 section 6.3).
TABLE_OF_NOTHING = 0x20


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def integer(value, bits, first=0):
    """A number with a prefix of that many bits (RFC 7541 section 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def text(value):
    return integer(len(value), 7) + value


def literal(name, value):
    """A field without indexing (RFC 7541 section 6.2.2)."""
    return b"\x00" + text(name) + text(value)


def remembered(name, value):
    """A field that the peer is to keep in its dynamic table (section 6.2.1)."""
    return b"\x40" + text(name) + text(value)


def indexed(place):
    return integer(place, 7, 0x80)


def request(path, method=b"GET", scheme=b"http", fields=()):
    """The header block of a request."""
    pairs = [(b":method", method), (b":scheme", scheme), (b":authority", b"localhost"), (b":path", path.encode()), *fields]
    return b"".join(literal(name, value) for name, value in pairs)


def client_context(alpn=()):
    # Not the default context: it reads all the authorities of the system, for each of a thousand clients.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def connect(port, patience=10, context=None):
    """A connection to the gateway, over TLS with a context."""
    connection = socket.create_connection(("127.0.0.1", port), patience)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is None:
        return connection
    try:
        return context.wrap_socket(connection, server_hostname="localhost")
    except BaseException:
        connection.close()
        raise


class Http2:
    """A connection whose client sends what it likes."""

    def __init__(self, port, context=None, settings=b"", patience=10):
        self.socket = connect(port, patience, context)
        self._received = b""
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def __enter__(self):
        return self

    def __exit__(self, *_raised):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The next frame: kind, flags, stream, payload. `None` at the end of the connection."""
        while True:
            if len(self._received) >= 9:
                length = int.from_bytes(self._received[:3], "big")
                if len(self._received) >= 9 + length:
                    kind, flags, stream = struct.unpack(">BBI", self._received[3:9])
                    payload, self._received = self._received[9:9 + length], self._received[9 + length:]
                    if kind == SETTINGS and not flags & ACK:
                        self.send(frame(SETTINGS, ACK, 0))
                    return kind, flags, stream & 0x7FFFFFFF, payload
            piece = self.socket.recv(65536)
            if not piece:
                return None
            self._received += piece

    def answers(self, streams):
        """Waits until all those streams have ended, and gives how each did: `200`, `other` or `reset`."""
        left, heads, ends = set(streams), {}, {}
        while left:
            got = self.receive()
            if got is None or got[0] == GOAWAY and got[3][4:8] != b"\0\0\0\0":
                ends.update(dict.fromkeys(left, "gone"))
                break
            kind, flags, stream, payload = got
            if kind == HEADERS:
                block = payload[1:] if payload[:1] == bytes([TABLE_OF_NOTHING]) else payload
                heads.setdefault(stream, "200" if block[:1] == bytes([STATUS_200]) else "other")
            elif kind == DATA and payload:
                self.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload))))
            if kind == RST_STREAM and stream in left:
                left.discard(stream)
                ends[stream] = heads.get(stream, "reset") if payload == b"\0\0\0\0" else "reset"
            elif kind in (DATA, HEADERS) and flags & END_STREAM and stream in left:
                left.discard(stream)
                ends[stream] = heads[stream]
        return ends
