#!/usr/bin/env python3
"""What stands behind the gateway in a soak: an origin that serves, and, where it is asked to, breaks the protocol.

    tests/wall/origin.py PORT

The first part of the path says what happens: /large, /echo (a tunnel), /dies, /garbage; everything else is answered in short,
after its body has been read.
"""

import asyncio
import sys

SMALL = b"x" * 130
LARGE = b"x" * 256 * 1024


async def read_body(reader, fields):
    if "chunked" in fields.get("transfer-encoding", ""):
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    elif length := int(fields.get("content-length", 0)):
        await reader.readexactly(length)


async def echo(reader, writer):
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()


async def answer(kind, reader, writer):
    """Whether the connection goes on."""
    if kind == "echo":
        await echo(reader, writer)
        return False
    if kind == "garbage":
        writer.write(b"\x00\x01 this is not HTTP\r\n\r\n")
        return False
    body = LARGE if kind in ("large", "dies") else SMALL
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body))
    if kind == "dies":
        writer.write(body[:10_000])
        return False
    writer.write(body)
    await writer.drain()
    return True


async def serve(reader, writer):
    try:
        goes_on = True
        while goes_on:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            await read_body(reader, fields)
            goes_on = await answer(head[0].split()[1].split("/")[1], reader, writer)
    except (OSError, asyncio.IncompleteReadError, ValueError):
        pass
    finally:
        writer.close()


async def main():
    listening = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await listening.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
