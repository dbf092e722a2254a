#!/usr/bin/env python3
"""Answers 200 to every request, on loopback: the upstream of `./dev lab corpus`.

    lab/upstream.py 127.0.0.1:18290
"""
import asyncio
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"


async def body(reader, fields):
    """Reads a message's body away, by its framing."""
    if "chunked" in fields.get("transfer-encoding", ""):
        while size := int((await reader.readuntil(b"\n")).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        while (await reader.readuntil(b"\n")).strip():
            pass
    else:
        await reader.readexactly(int(fields.get("content-length", 0)))


async def serve(reader, writer):
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            first, *lines = head.decode("latin1").split("\r\n")
            pairs = (line.partition(":") for line in lines if line)
            await body(reader, {name.lower(): value.strip().lower() for name, _, value in pairs})
            writer.write(ANSWER if first.startswith("HEAD ") else ANSWER + b"{}")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    host, port = sys.argv[1].rsplit(":", 1)
    server = await asyncio.start_server(serve, host, int(port), limit=1 << 20, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
