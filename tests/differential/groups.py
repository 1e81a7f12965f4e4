"""Task groups: errors, siblings, and requests from outside."""

import asyncio

from recorder import failing, needs, outcome, worker


async def _group(note, *children):
    async with asyncio.TaskGroup() as tg:
        for child in children:
            tg.create_task(child)
    return "all are done"


async def all_children_are_waited_for(note):
    await outcome(note, "group", _group(note, worker(note, "a", 2, 1), worker(note, "b", 1, 1)))


async def the_first_error_cancels_siblings_which_clean_up(note):
    children = worker(note, "a", 10, 3), failing(note, "b", 1), worker(note, "c", 10, 2)
    await outcome(note, "group", _group(note, *children))


async def errors_come_in_the_order_of_the_failures(note):
    async def careless(name, after):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await failing(note, name, after)

    children = careless("a", 3), careless("b", 2), failing(note, "c", 1)
    await outcome(note, "group", _group(note, *children))


async def two_errors_in_one_turn(note):
    children = failing(note, "a", 1), failing(note, "b", 1), worker(note, "c", 10, 1)
    await outcome(note, "group", _group(note, *children))


async def a_cancelled_child_among_successes(note):
    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(worker(note, "a", 3, 1))
            cancelled = tg.create_task(worker(note, "b", 10, 1))
            tg.create_task(worker(note, "c", 2, 1))
            await asyncio.sleep(1)
            cancelled.cancel()
        return "fine"

    await outcome(note, "group", body())


async def the_error_of_the_body_comes_last(note):
    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(failing(note, "child", 1))
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                raise ValueError("body")

    await outcome(note, "group", body())


async def a_body_that_fails_ends_the_children(note):
    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(worker(note, "a", 10, 2))
            await failing(note, "body", 1)

    await outcome(note, "group", body())


async def a_child_that_fails_ends_the_body(note):
    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(failing(note, "child", 1))
            await worker(note, "body", 10, 2)

    await outcome(note, "group", body())


async def groups_inside_of_groups_fail_as_a_tree(note):
    inner = _group(note, failing(note, "a", 1), worker(note, "b", 10, 1))
    await outcome(note, "outer", _group(note, inner, worker(note, "c", 10, 2)))


async def a_request_ends_all_children_and_goes_on(note):
    task = asyncio.create_task(_group(note, worker(note, "a", 10, 1), worker(note, "b", 10, 2)))
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "group", task)


@needs(3, 13)  # the groups before lose the request to the errors
async def a_request_while_a_child_fails(note):
    async def careless():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await failing(note, "b", 1)

    async def around():
        await outcome(note, "group", _group(note, worker(note, "a", 10, 2), careless()))
        await asyncio.sleep(1)
        note("goes on")

    task = asyncio.create_task(around())
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "task", task)


@needs(3, 13)  # the groups before lose the request to the errors
async def a_request_while_siblings_of_a_failure_clean_up(note):
    async def around():
        await outcome(note, "group", _group(note, failing(note, "a", 1), worker(note, "b", 10, 5)))
        await asyncio.sleep(1)
        note("goes on")

    task = asyncio.create_task(around())
    await asyncio.sleep(2)
    task.cancel()
    await outcome(note, "task", task)


async def a_second_request_while_the_children_clean_up(note):
    task = asyncio.create_task(_group(note, worker(note, "a", 10, 5)))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "group", task)


async def a_body_that_swallows_a_request_from_outside(note):
    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(worker(note, "child", 4, 1))
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                note("never mind")
        note("the group is over")
        await asyncio.sleep(1)
        return "went on"

    task = asyncio.create_task(body())
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "task", task)


async def a_child_that_swallows_holds_up_a_failing_group(note):
    async def stubborn():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            note("never mind")
        await asyncio.sleep(3)
        note("at last")

    await outcome(note, "group", _group(note, stubborn(), failing(note, "a", 1)))


async def a_group_that_ends_takes_no_more_children(note):
    async def body():
        async with asyncio.TaskGroup() as tg:

            async def late():
                try:
                    await asyncio.sleep(10)
                except asyncio.CancelledError:
                    latecomer = worker(note, "latecomer", 1, 1)
                    try:
                        tg.create_task(latecomer)
                    except RuntimeError:
                        latecomer.close()
                        note("refused")
                    raise

            tg.create_task(late())
            tg.create_task(failing(note, "a", 1))

    await outcome(note, "group", body())


async def children_spawn_children(note):
    async def body():
        async with asyncio.TaskGroup() as tg:

            async def parent():
                note("parent")
                tg.create_task(worker(note, "child", 2, 1))

            tg.create_task(parent())
        return "done"

    await outcome(note, "group", body())


async def a_limit_around_a_group(note):
    async def limited():
        async with asyncio.timeout(1):
            await _group(note, worker(note, "a", 10, 2), worker(note, "b", 10, 1))

    await outcome(note, "limited", limited())


async def a_limit_that_comes_while_the_body_cleans_up(note):
    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(failing(note, "a", 1))
            async with asyncio.timeout(2):
                await worker(note, "body", 10, 3)

    await outcome(note, "group", body())
