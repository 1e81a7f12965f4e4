"""Several at once: gather, wait, as_completed."""

import asyncio

from recorder import failing, outcome, worker


async def results_come_in_the_order_of_the_arguments(note):
    async def gathered():
        workers = worker(note, "a", 2, 1), worker(note, "b", 1, 1), worker(note, "c", 3, 1)
        return " ".join(await asyncio.gather(*workers))

    await outcome(note, "gather", gathered())


async def errors_as_values(note):
    async def gathered():
        workers = worker(note, "a", 2, 1), failing(note, "b", 1)
        a, b = await asyncio.gather(*workers, return_exceptions=True)
        return f"{a}, failed with {b}"

    await outcome(note, "gather", gathered())


async def one_failure_among_several(note):
    workers = worker(note, "a", 3, 1), failing(note, "b", 1), worker(note, "c", 4, 1)
    await outcome(note, "gather", asyncio.gather(*workers))
    await asyncio.sleep(5)


async def a_request_goes_to_all(note):
    async def gathering():
        await asyncio.gather(worker(note, "a", 10, 2), worker(note, "b", 10, 1))

    task = asyncio.create_task(gathering())
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "gather", task)
    await asyncio.sleep(5)


async def a_limit_around_all(note):
    gathered = asyncio.gather(worker(note, "a", 10, 1), worker(note, "b", 10, 1))
    await outcome(note, "gather", asyncio.wait_for(gathered, 1))


async def one_of_several_tasks_was_cancelled(note):
    tasks = [asyncio.create_task(worker(note, name, 3, 1)) for name in "ab"]

    async def gathered():
        a, b = await asyncio.gather(*tasks, return_exceptions=True)
        return f"{a}, {'cancelled' if isinstance(b, asyncio.CancelledError) else b}"

    asyncio.get_running_loop().call_later(1, tasks[1].cancel)
    await outcome(note, "gather", gathered())


async def wait_for_the_first(note):
    tasks = [asyncio.create_task(worker(note, f"t{n}", n, 1)) for n in (2, 1, 3)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    note(f"{len(done)} done, {len(pending)} not")
    done, pending = await asyncio.wait(pending)
    note(f"{len(done)} done, {len(pending)} not")


async def wait_for_the_first_error(note):
    tasks = [asyncio.create_task(worker(note, "a", 1, 1)), asyncio.create_task(failing(note, "b", 2)),
             asyncio.create_task(worker(note, "c", 3, 1))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    note(f"{len(done)} done, {len(pending)} not")
    for task in done | pending:
        task.exception() if task.done() else await task


async def a_wait_that_is_cancelled_cancels_nobody(note):
    tasks = [asyncio.create_task(worker(note, name, 3, 1)) for name in "ab"]
    waiter = asyncio.create_task(asyncio.wait(tasks))
    await asyncio.sleep(1)
    waiter.cancel()
    await outcome(note, "wait", waiter)
    await asyncio.wait(tasks)


async def as_they_are_completed(note):
    tasks = [asyncio.create_task(worker(note, f"t{n}", n, 1)) for n in (3, 1, 2)]
    for next_one in asyncio.as_completed(tasks):
        note(f"got {await next_one}")
