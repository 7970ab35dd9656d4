"""An HTTP server of asyncio. Prints its port."""

import asyncio


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as the other servers do, until the client goes."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split(b" ", 2)[1]
            _, _, rest = head.lower().partition(b"content-length:")
            body = await reader.readexactly(int(rest.split(b"\r\n")[0] or 0))
            if path == b"/large":
                body = b"0123456789abcdef" * (1 << 16)
            elif path != b"/echo":
                body = b"hello from inside\n"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serve for ever."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=128)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
