"""What a request is kept from."""

import asyncio

from recorder import failing, outcome, worker


async def the_wait_is_cut_and_the_task_goes_on(note):
    task = asyncio.create_task(worker(note, "inner", 3, 1))

    async def waiting():
        await asyncio.shield(task)

    outer = asyncio.create_task(waiting())
    await asyncio.sleep(1)
    outer.cancel()
    await outcome(note, "outer", outer)
    await asyncio.sleep(5)


async def a_limit_around_a_shield(note):
    task = asyncio.create_task(worker(note, "inner", 3, 1))
    await outcome(note, "limited", asyncio.wait_for(asyncio.shield(task), 1))
    await asyncio.sleep(5)


async def the_task_behind_the_shield_is_cancelled(note):
    task = asyncio.create_task(worker(note, "inner", 10, 1))
    outer = asyncio.create_task(outcome(note, "outer", asyncio.shield(task)))
    await asyncio.sleep(1)
    task.cancel()
    await outer


async def a_failure_behind_a_shield_that_was_cut(note):
    task = asyncio.create_task(failing(note, "inner", 3))

    async def waiting():
        await asyncio.shield(task)

    outer = asyncio.create_task(waiting())
    await asyncio.sleep(1)
    outer.cancel()
    await outcome(note, "outer", outer)
    await asyncio.sleep(5)


async def a_shielded_cleanup_and_a_second_request(note):
    async def careful():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            note("cleans up")
            cleanup = asyncio.create_task(worker(note, "cleanup", 4, 1))
            try:
                await asyncio.shield(cleanup)
            except asyncio.CancelledError:
                note("the wait is cut")
                raise
            note("is clean")
            raise

    task = asyncio.create_task(careful())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "task", task)
    await asyncio.sleep(5)
