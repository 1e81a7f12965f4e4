"""Tasks that take their first step at once, which CPython has from 3.12 on."""

import asyncio

from recorder import needs, outcome, worker


def _eagerly(coroutine, name=None):
    loop = asyncio.get_running_loop()
    return asyncio.Task(coroutine, loop=loop, name=name, eager_start=True)


@needs(3, 12)
async def one_that_need_not_wait_is_done_at_once(note):
    async def ready():
        note("runs")
        return "value"

    task = _eagerly(ready())
    note(f"done: {task.done()}")
    await outcome(note, "task", task)


@needs(3, 12)
async def one_that_waits_goes_on_after_what_is_ready(note):
    async def two_steps(name):
        note(f"{name}, first step")
        await asyncio.sleep(0)
        note(f"{name}, second step")

    before = asyncio.create_task(two_steps("before"))
    eager = _eagerly(two_steps("eager"))
    after = asyncio.create_task(two_steps("after"))
    for task in before, eager, after:
        await task


@needs(3, 12)
async def each_is_the_current_task_in_turn(note):
    def current():
        return asyncio.current_task().get_name()

    async def nest(depth):
        note(f"in {current()}")
        if depth > 0:
            await _eagerly(nest(depth - 1), name=f"level {depth - 1}")
        note(f"again in {current()}")

    await _eagerly(nest(3), name="level 3")


@needs(3, 12)
async def one_that_fails_at_once(note):
    async def fails():
        raise ValueError("at once")

    task = _eagerly(fails())
    note("spawned")
    await outcome(note, "task", task)


@needs(3, 12)
async def one_that_cancels_itself_at_once(note):
    async def cancels():
        asyncio.current_task().cancel()
        await worker(note, "worker", 5, 1)

    task = _eagerly(cancels())
    note(f"done: {task.done()}")
    await outcome(note, "task", task)


@needs(3, 12)
async def one_that_cancels_its_spawner(note):
    async def spawner():
        me = asyncio.current_task()

        async def cancels():
            me.cancel()

        _eagerly(cancels())
        note("still here")
        await worker(note, "worker", 5, 1)

    await outcome(note, "spawner", asyncio.create_task(spawner()))


@needs(3, 12)
async def a_limit_around_the_spawn_is_not_around_the_task(note):
    async def limited():
        async with asyncio.timeout(1):
            tasks.append(_eagerly(worker(note, "background", 3, 1)))
            await worker(note, "limited", 3, 1)

    tasks = []
    await outcome(note, "limited", limited())
    await outcome(note, "background", tasks[0])


@needs(3, 12)
async def a_request_to_the_spawner_is_not_one_to_the_task(note):
    async def spawner():
        tasks.append(_eagerly(worker(note, "background", 3, 1)))
        await worker(note, "spawner", 5, 1)

    tasks = []
    task = asyncio.create_task(spawner())
    await asyncio.sleep(1)
    task.cancel()
    await outcome(note, "spawner", task)
    await outcome(note, "background", tasks[0])


@needs(3, 12)
async def children_of_a_group_start_at_once(note):
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)

    async def group():
        async with asyncio.TaskGroup() as tg:
            a = tg.create_task(worker(note, "a", 2, 1))
            b = tg.create_task(worker(note, "b", 1, 1))
            note("the body is done")
        return f"{a.result()} {b.result()}"

    await outcome(note, "group", group())


@needs(3, 12)
async def a_child_of_a_group_fails_at_once(note):
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)

    async def fails():
        raise ValueError("at once")

    async def group():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(worker(note, "a", 5, 1))
            tg.create_task(fails())
            note("the body goes on")
            await worker(note, "body", 5, 2)

    await outcome(note, "group", group())
