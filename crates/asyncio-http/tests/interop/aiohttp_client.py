import asyncio
import sys

import aiohttp

BASE = sys.argv[1]


async def pieces():
    for _ in range(10):
        yield b"x" * 1000


async def text(session, method, path, **options):
    async with session.request(method, BASE + path, **options) as response:
        return await response.text()


async def main():
    async with aiohttp.ClientSession() as session:
        print(await text(session, "GET", "/a"))
        print(await text(session, "POST", "/chunked", data=pieces()))
        print(await text(session, "POST", "/expect", data=b"x" * 2000, expect100=True))
        print(len(await text(session, "GET", "/large")))
        pages = await asyncio.gather(*[text(session, "GET", "/a") for _ in range(100)])
        print(len(pages), "pages")
        async with session.ws_connect(BASE + "/ws", heartbeat=5) as socket:
            await socket.send_str("hi")
            hi = (await socket.receive()).data
            await socket.send_bytes(b"z" * 200_000)
            print(hi, len((await socket.receive()).data))
            await socket.close()
            print("closed:", socket.close_code)
        async with session.ws_connect(BASE + "/ws") as socket:
            await socket.send_bytes(b"z" * 300_000)
            await socket.receive()
            print("too large:", socket.close_code)


asyncio.run(main())
