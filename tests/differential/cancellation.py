"""A single task, cancelled at one moment or another."""

import asyncio

from recorder import failing, outcome, worker


async def a_cleanup_is_waited_for(note):
    task = asyncio.create_task(worker(note, "task", 10, 2))
    await asyncio.sleep(1)
    note(f"asked: {str(task.cancel()).lower()}")
    await outcome(note, "task", task)


async def a_second_request_interrupts_a_cleanup(note):
    task = asyncio.create_task(worker(note, "task", 10, 5))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "task", task)


async def cancelled_before_the_first_step(note):
    task = asyncio.create_task(worker(note, "task", 10, 1))
    task.cancel()
    await outcome(note, "task", task)


async def swallowed_it_goes_on(note):
    async def stubborn():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            note("never mind")
        await asyncio.sleep(3)
        return "went on"

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "task", task)


async def every_request_is_heard_once(note):
    async def stubborn():
        for n in range(3):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                note(f"request {n}")
        return "enough"

    task = asyncio.create_task(stubborn())
    for _ in range(3):
        await asyncio.sleep(1)
        task.cancel()
    await outcome(note, "task", task)


async def two_requests_at_once_are_one(note):
    async def twice_asked():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            note("asked")
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            note("asked again")
        return "done"

    task = asyncio.create_task(twice_asked())
    await asyncio.sleep(1)
    task.cancel()
    task.cancel()
    await outcome(note, "task", task)


async def a_result_and_a_request_in_one_turn(note):
    result = asyncio.get_running_loop().create_future()

    async def waits():
        try:
            await result
            note("has the result")
        except asyncio.CancelledError:
            note("lost the result")
            raise
        await asyncio.sleep(1)
        note("goes on")

    task = asyncio.create_task(waits())
    await asyncio.sleep(1)
    result.set_result(None)
    task.cancel()
    await outcome(note, "task", task)


async def a_request_to_oneself_takes_the_next_await(note):
    async def selfish():
        asyncio.current_task().cancel()
        note("still here")
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            note("heard")
            raise

    await outcome(note, "task", asyncio.create_task(selfish()))


async def returning_with_a_request_open(note):
    async def selfish():
        asyncio.current_task().cancel()
        return "a value"

    await outcome(note, "task", asyncio.create_task(selfish()))


async def a_finished_task_is_not_cancelled(note):
    task = asyncio.create_task(worker(note, "task", 1, 1))
    await asyncio.sleep(2)
    note(f"asked: {str(task.cancel()).lower()}")
    await outcome(note, "task", task)


async def cleanups_run_from_the_inside_out(note):
    async def nested():
        try:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                note("inner")
                await asyncio.sleep(2)
                note("inner is clean")
                raise
        except asyncio.CancelledError:
            note("outer")
            await asyncio.sleep(1)
            note("outer is clean")
            raise

    task = asyncio.create_task(nested())
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "task", task)


async def a_request_goes_through_to_the_task_that_is_awaited(note):
    async def waiting():
        try:
            await asyncio.create_task(worker(note, "inner", 10, 2))
        except asyncio.CancelledError:
            note("outer hears")
            raise

    task = asyncio.create_task(waiting())
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "outer", task)


async def an_awaited_task_that_swallows_lets_the_awaiter_go_on(note):
    async def stubborn():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            note("never mind")
        return "a value"

    async def waiting():
        note(f"got {await asyncio.create_task(stubborn())}")
        await asyncio.sleep(1)
        return "went on"

    task = asyncio.create_task(waiting())
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "outer", task)


async def awaiting_a_task_that_was_cancelled(note):
    task = asyncio.create_task(worker(note, "task", 10, 1))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(2)
    note("awaits")
    await outcome(note, "task", task)


async def an_error_in_a_cleanup_takes_the_place_of_the_request(note):
    async def careless():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await failing(note, "cleanup", 1)

    task = asyncio.create_task(careless())
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "task", task)


async def a_cleanup_on_the_normal_path_is_cut_by_a_first_request(note):
    async def tidy():
        try:
            note("works")
        finally:
            note("cleans up")
            await asyncio.sleep(5)
            note("is clean")

    task = asyncio.create_task(tidy())
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "task", task)


async def cancelled_from_its_own_cleanup(note):
    async def selfish():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            note("cleans up")
            asyncio.current_task().cancel()
            await asyncio.sleep(1)
            note("is clean")

    task = asyncio.create_task(selfish())
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "task", task)


async def a_request_goes_on_after_a_second_was_swallowed_in_its_cleanup(note):
    async def stubborn():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            note("cleans up")
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                note("never mind")
            await asyncio.sleep(1)
            note("is clean")
            raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "task", task)
