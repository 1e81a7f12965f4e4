import asyncio
import os
import shutil
import sys
import tempfile
import time

WORKLOAD, WARM_UP, MEASURED = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
QUICK = sys.argv[4] == "quick"

MIB = 1 << 20
PART = 64 * 1024
WINDOW = 0.01
PIPE = asyncio.subprocess.PIPE

try:
    from aiofiles import open as open_file
except ImportError:

    class open_file:
        """What aiofiles does: each call on a thread."""

        def __init__(self, path, mode="rb"):
            self.path, self.mode = path, mode

        async def __aenter__(self):
            self.file = await asyncio.to_thread(open, self.path, self.mode)
            return self

        async def __aexit__(self, *_):
            await asyncio.to_thread(self.file.close)

        def __getattr__(self, name):
            call = getattr(self.file, name)
            return lambda *args: asyncio.to_thread(call, *args)

        def __aiter__(self):
            return self

        async def __anext__(self):
            if line := await self.readline():
                return line
            raise StopAsyncIteration


def size(full):
    return full // 5 if QUICK else full


def text(path, mib):
    with open(path, "wb") as file:
        file.write((b"x" * 63 + b"\n") * (mib * MIB // 64))


def median(values):
    return sorted(values)[len(values) // 2]


async def run_for(seconds, batch):
    started, batches = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        await batch()
        batches += 1
    return batches


async def measure(operations, batch):
    await run_for(WARM_UP, batch)
    cpu, wall = [], []
    started = time.perf_counter()
    while time.perf_counter() - started < MEASURED or len(wall) < 3:
        before, spent = time.perf_counter(), time.process_time()
        done = operations * await run_for(WINDOW, batch)
        wall.append((time.perf_counter() - before) * 1e9 / done)
        cpu.append((time.process_time() - spent) * 1e9 / done)
    print(f"cpu={median(cpu)} wall={median(wall)}")


def numbers():
    state = 0x9E3779B97F4A7C15
    while True:
        state ^= state << 13 & (1 << 64) - 1
        state ^= state >> 7
        state ^= state << 17 & (1 << 64) - 1
        yield state


async def random_reads(path):
    text(path, 64)
    random = numbers()
    async with open_file(path, "rb") as file:

        async def batch():
            for _ in range(16):
                await file.seek(next(random) % (64 * MIB // 4096) * 4096)
                assert len(await file.read(4096)) == 4096

        await measure(16, batch)


async def sequential_read(path):
    mib = size(256)
    text(path, mib)

    async def batch():
        total = 0
        async with open_file(path, "rb") as file:
            while part := await file.read(PART):
                total += len(part)
        assert total == mib * MIB

    await measure(mib, batch)


async def sequential_write(path):
    mib = size(256)
    part = b"\7" * PART

    async def batch():
        async with open_file(path, "wb") as file:
            for _ in range(mib * MIB // PART):
                await file.write(part)

    await measure(mib, batch)


async def lines(path):
    # A line is a hop, so the file is smaller than that of the others.
    text(path, 1)

    async def batch():
        count = 0
        async with open_file(path, "rb") as file:
            async for _ in file:
                count += 1
        assert count == MIB // 64

    await measure(MIB // 64, batch)


async def small_files(path):
    os.mkdir(path)
    paths = [os.path.join(path, str(n)) for n in range(10_000)]
    for each in paths:
        with open(each, "wb") as file:
            file.write(b"\7" * 4096)
    at = 0

    async def read(each):
        async with open_file(each, "rb") as file:
            return await file.read()

    async def batch():
        nonlocal at
        part = [paths[(at + n) % len(paths)] for n in range(100)]
        at += 100
        assert all(len(each) == 4096 for each in await asyncio.gather(*map(read, part)))

    await measure(100, batch)


async def short_process(_path):
    async def batch():
        process = await asyncio.create_subprocess_exec("/bin/true")
        assert await process.wait() == 0

    await measure(1, batch)


async def through_cat(_path):
    mib = size(100)
    data = b"\7" * (mib * MIB)

    async def batch():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        back, _ = await process.communicate(data)
        assert len(back) == len(data)

    await measure(mib, batch)


async def main():
    directory = tempfile.mkdtemp(prefix="asyncio-bench-")
    work = {
        "file-random": random_reads,
        "file-read": sequential_read,
        "file-write": sequential_write,
        "file-lines": lines,
        "files-small": small_files,
        "process": short_process,
        "process-cat": through_cat,
    }
    try:
        await work[WORKLOAD](os.path.join(directory, "file"))
    finally:
        shutil.rmtree(directory)


asyncio.run(main())
