import asyncio
import multiprocessing
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor

WORKLOAD, WARM_UP, MEASURED = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])


def nothing():
    pass


def same(value):
    return value


def print_figures(**figures):
    print(" ".join(f"{key}={value}" for key, value in figures.items()))


async def round_trips(call):
    took = []
    started = time.perf_counter()
    while (now := time.perf_counter()) < started + WARM_UP + MEASURED:
        await call()
        if now > started + WARM_UP:
            took.append((time.perf_counter() - now) * 1e6)
    took.sort()
    print_figures(p50=took[len(took) // 2], p99=took[len(took) * 99 // 100])


async def crowds():
    wall, cpu = [], []
    started = time.perf_counter()
    while time.perf_counter() < started + WARM_UP + MEASURED:
        before, spent = time.perf_counter(), time.process_time()
        await asyncio.gather(*(asyncio.to_thread(nothing) for _ in range(1000)))
        wall.append((time.perf_counter() - before) * 1e6)
        cpu.append((time.process_time() - spent) * 1e6)
    print_figures(wall=sorted(wall)[len(wall) // 2], cpu=sorted(cpu)[len(cpu) // 2])


async def callbacks():
    loop = asyncio.get_running_loop()
    per_callback = []
    started = time.perf_counter()
    while time.perf_counter() < started + WARM_UP + MEASURED:
        done = asyncio.Event()

        def post():
            for _ in range(9_999):
                loop.call_soon_threadsafe(nothing)
            loop.call_soon_threadsafe(done.set)

        before = time.perf_counter()
        threading.Thread(target=post).start()
        await done.wait()
        per_callback.append((time.perf_counter() - before) * 1e9 / 10_000)
    print_figures(wall=sorted(per_callback)[len(per_callback) // 2])


async def processes(size):
    loop = asyncio.get_running_loop()
    value = bytes(size)
    with pool(1) as executor:
        await round_trips(lambda: loop.run_in_executor(executor, same, value))


async def starts():
    loop = asyncio.get_running_loop()
    took = []
    started = time.perf_counter()
    while time.perf_counter() < started + MEASURED or len(took) < 3:
        before = time.perf_counter()
        with pool(2) as executor:
            calls = [loop.run_in_executor(executor, same, None) for _ in range(2)]
            await asyncio.gather(*calls)
            took.append((time.perf_counter() - before) * 1e3)
    print_figures(wall=sorted(took)[len(took) // 2])


def pool(workers):
    # The script has no file that a new interpreter could import.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("fork"))


async def main():
    match WORKLOAD:
        case "call" | "call-pinned":
            await round_trips(lambda: asyncio.to_thread(nothing))
        case "calls-1000":
            await crowds()
        case "callbacks-1":
            await callbacks()
        case "worker-call":
            await processes(0)
        case "worker-call-1MiB":
            await processes(1 << 20)
        case "worker-pool-start":
            await starts()


asyncio.run(main())
