import asyncio
import sys

import httpx

BASE = sys.argv[1]


async def main(**versions):
    async with httpx.AsyncClient(trust_env=False, timeout=20, **versions) as client:
        print((await client.get(BASE + "/a")).text)
        print((await client.post(BASE + "/form", data={"a": "b"})).text)
        async with client.stream("GET", BASE + "/large") as response:
            print(sum([len(piece) async for piece in response.aiter_bytes()]))
        pages = await asyncio.gather(*[client.get(BASE + "/a") for _ in range(100)])
        print(len(pages), "pages")


asyncio.run(main())
asyncio.run(main(http1=False, http2=True))
