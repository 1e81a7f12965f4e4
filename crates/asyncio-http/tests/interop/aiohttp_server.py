import asyncio
import sys

from aiohttp import web


async def count(request):
    return web.Response(text=str(len(await request.read())))


async def early(request):
    return web.Response(status=413, text="too large")


async def compressed(request):
    response = web.StreamResponse()
    response.enable_compression(web.ContentCoding.gzip)
    await response.prepare(request)
    for _ in range(10):
        await response.write(b"x" * 10_000)
    await response.write_eof()
    return response


async def cookie(request):
    response = web.Response(text=request.headers.get("cookie", ""))
    response.set_cookie("a", "b c", max_age=100)
    return response


async def redirect(request):
    raise web.HTTPFound("/count")


async def socket(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str("echo " + message.data)
    return socket


async def main():
    app = web.Application()
    app.add_routes(
        [
            web.get("/count", count),
            web.post("/count", count),
            web.post("/early", early),
            web.get("/compressed", compressed),
            web.get("/cookie", cookie),
            web.post("/redirect", redirect),
            web.get("/ws", socket),
        ]
    )
    runner = web.AppRunner(app, keepalive_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    # It ends with its standard input.
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


asyncio.run(main())
