"""What comes with a request: its message, and how many there are."""

import asyncio

from recorder import needs, outcome


def _said(error):
    return error.args[0] if error.args else "nothing"


async def _listener(note, name):
    note(f"{name} starts")
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError as error:
        note(f"{name} hears {_said(error)}")
        raise


async def _end(note, name, task):
    """Awaits a task that ends cancelled, and tells what was said."""
    try:
        await task
    except asyncio.CancelledError as error:
        note(f"{name}: cancelled with {_said(error)}")
    else:
        note(f"{name}: returned")


async def a_message_is_heard_inside_and_by_who_awaits(note):
    task = asyncio.create_task(_listener(note, "task"))
    await asyncio.sleep(1)
    task.cancel("why")
    await _end(note, "task", task)
    task = asyncio.create_task(_listener(note, "another"))
    await asyncio.sleep(1)
    task.cancel()
    await _end(note, "another", task)


async def two_messages_to_a_task_that_waits(note):
    task = asyncio.create_task(_listener(note, "task"))
    await asyncio.sleep(1)
    task.cancel("first")
    task.cancel("last")
    note(f"open: {task.cancelling()}")
    await _end(note, "task", task)


async def two_messages_before_the_first_step(note):
    task = asyncio.create_task(_listener(note, "task"))
    task.cancel("first")
    task.cancel("last")
    await _end(note, "task", task)


async def _twice(note, which):
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError as first:
        note(f"hears {_said(first)}")
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError as second:
            note(f"hears {_said(second)}")
            if which == "second":
                raise
        raise


async def a_second_message_interrupts_the_cleanup(note):
    for which in "first", "second":
        task = asyncio.create_task(_twice(note, which))
        await asyncio.sleep(1)
        task.cancel("first")
        await asyncio.sleep(1)
        task.cancel("second")
        await _end(note, f"the {which} goes on", task)


async def a_message_goes_to_the_task_that_is_awaited(note):
    async def outer():
        await asyncio.create_task(_listener(note, "inner"))

    task = asyncio.create_task(outer())
    await asyncio.sleep(1)
    task.cancel("why")
    await _end(note, "outer", task)


async def a_message_goes_to_all_that_is_gathered(note):
    async def gathers():
        await asyncio.gather(_listener(note, "a"), _listener(note, "b"))

    task = asyncio.create_task(gathers())
    await asyncio.sleep(1)
    task.cancel("why")
    await _end(note, "task", task)


async def a_message_goes_to_body_and_children(note):
    async def group():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(_listener(note, "child"))
            await _listener(note, "body")

    task = asyncio.create_task(group())
    await asyncio.sleep(1)
    task.cancel("why")
    await _end(note, "task", task)


async def requests_are_counted_until_they_are_swallowed(note):
    async def counting():
        me = asyncio.current_task()
        note(f"open: {me.cancelling()}")
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            note(f"open: {me.cancelling()}")
            me.uncancel()
        note(f"open: {me.cancelling()}")
        me.cancel()
        me.cancel()
        note(f"open: {me.cancelling()}")
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            me.uncancel()
            me.uncancel()
        note(f"open: {me.cancelling()}")
        await asyncio.sleep(10)

    task = asyncio.create_task(counting())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    task.cancel()
    await _end(note, "task", task)


async def a_time_limit_is_no_request_to_the_task(note):
    me = asyncio.current_task()

    async def work():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError as error:
            note(f"open: {me.cancelling()}, said: {_said(error)}")
            raise

    async def limited():
        async with asyncio.timeout(1):
            await work()

    await outcome(note, "limited", limited())
    note(f"open: {me.cancelling()}")


@needs(3, 13)  # the groups before lose the request to the errors
async def a_request_that_a_failing_group_leaves_open(note):
    async def fails(own):
        await asyncio.sleep(1)
        own.cancel("why")
        raise ValueError("child")

    async def group():
        me = asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as tg:
                tg.create_task(fails(me))
                await asyncio.sleep(10)
        except ExceptionGroup:
            note(f"failed, open: {me.cancelling()}")
        await asyncio.sleep(1)
        note("not reached")

    task = asyncio.create_task(group())
    try:
        await task
    except asyncio.CancelledError:
        note("task: cancelled")
