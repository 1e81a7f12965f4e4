"""CPython's asyncio as the peer: `peer.py server [CERTIFICATE KEY]` or `peer.py client PORT [ROOTS]`.

Both speak lines. A line comes back in upper case, and `bye` ends the connection.
"""

import asyncio
import ssl
import sys


async def serve(certificate):
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)

    async def handle(reader, writer):
        while (line := await reader.readline()) not in (b"", b"bye\n"):
            writer.write(line.upper())
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        server.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context, limit=1 << 22)
    print(server.sockets[0].getsockname()[1], flush=True)
    try:
        await server.serve_forever()
    except asyncio.CancelledError:
        pass


async def ask(port, roots):
    context = ssl.create_default_context(cafile=roots[0]) if roots else None
    name = "localhost" if roots else None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name, limit=1 << 22
    )
    for line in [b"hello\n", b"x" * 1_000_000 + b"\n"]:
        writer.write(line)
        await writer.drain()
        assert await reader.readline() == line.upper()
    writer.write(b"bye\n")
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    print("fine", flush=True)


match sys.argv[1:]:
    case ["server", *certificate]:
        asyncio.run(serve(certificate))
    case ["client", port, *roots]:
        asyncio.run(ask(int(port), roots))
