"""Time limits, alone and inside of each other."""

import asyncio

from recorder import failing, needs, outcome, worker


async def _limited(note, name, limit, awaitable):
    try:
        async with asyncio.timeout(limit):
            value = await awaitable
            note(f"{name} is in time")
            return value
    except TimeoutError:
        note(f"{name} is over")


async def the_work_is_in_time(note):
    await _limited(note, "limit", 5, worker(note, "work", 2, 1))
    await asyncio.sleep(9)
    note("nothing comes later")


async def the_cleanup_outlasts_the_limit(note):
    await _limited(note, "limit", 1, worker(note, "work", 10, 5))


async def of_two_the_inner_comes_first(note):
    await _limited(note, "outer", 3, _limited(note, "inner", 1, worker(note, "work", 10, 1)))


async def of_two_the_outer_comes_first(note):
    await _limited(note, "outer", 1, _limited(note, "inner", 3, worker(note, "work", 10, 1)))


async def of_two_at_once_the_outer_reports(note):
    await _limited(note, "outer", 1, _limited(note, "inner", 1, worker(note, "work", 10, 1)))


async def of_three_at_once_the_outermost_reports(note):
    inner = _limited(note, "inner", 1, worker(note, "work", 10, 0))
    await _limited(note, "outer", 1, _limited(note, "middle", 1, inner))


async def the_outer_comes_while_the_inner_one_cleans_up(note):
    await _limited(note, "outer", 2, _limited(note, "inner", 1, worker(note, "work", 10, 5)))


async def the_inner_comes_while_the_outer_one_cleans_up(note):
    await _limited(note, "outer", 1, _limited(note, "inner", 2, worker(note, "work", 10, 5)))


async def a_limit_of_zero_lets_the_work_begin(note):
    await _limited(note, "limit", 0, worker(note, "work", 10, 1))


async def work_that_swallows_the_limit_has_its_value(note):
    async def stubborn():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            note("never mind")
        return "a value"

    note(f"got {await _limited(note, 'limit', 1, stubborn())}")


async def a_request_from_outside_is_no_timeout(note):
    task = asyncio.create_task(_limited(note, "limit", 5, worker(note, "work", 10, 1)))
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "task", task)


async def a_request_while_the_limit_cleans_up(note):
    task = asyncio.create_task(_limited(note, "limit", 1, worker(note, "work", 10, 5)))
    await asyncio.sleep(2)
    task.cancel()
    await outcome(note, "task", task)


async def a_limit_around_a_task_waits_for_its_cleanup(note):
    task = asyncio.create_task(worker(note, "task", 10, 2))
    await outcome(note, "limited", asyncio.wait_for(task, 1))
    note(f"ended: {str(task.done()).lower()}")


async def a_value_in_the_cleanup_beats_the_limit(note):
    async def stubborn():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            return "a value"

    await outcome(note, "limited", asyncio.wait_for(stubborn(), 1))


async def an_error_in_the_cleanup_beats_the_limit(note):
    async def careless():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await failing(note, "cleanup", 1)

    await outcome(note, "limited", asyncio.wait_for(careless(), 1))


@needs(3, 12)  # the `wait_for` before was not a `timeout`, and had the value
async def wait_for_something_done_at_the_very_limit(note):
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.call_at(1, done.set)  # before the limit, in the same turn

    async def waits():
        try:
            await done.wait()
            return "just in time"
        except asyncio.CancelledError:
            note("too late")
            raise

    await outcome(note, "limited", asyncio.wait_for(waits(), 1))


async def a_limit_that_is_moved(note):
    try:
        async with asyncio.timeout(2) as limit:
            await asyncio.sleep(1)
            limit.reschedule(asyncio.get_running_loop().time() + 3)
            await worker(note, "work", 10, 1)
    except TimeoutError:
        note(f"over, expired: {str(limit.expired()).lower()}")


async def one_limit_after_the_other(note):
    for n in range(3):
        await _limited(note, f"limit {n}", 1, worker(note, f"work {n}", n, 1))
