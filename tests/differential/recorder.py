"""Records what CPython's asyncio does in the programs of this directory.

    python3 recorder.py DIRECTORY

writes DIRECTORY/<file>/<program>.cpython for each program, one event a line, each with the second at which
it happened. Time is virtual: the loop has no selector, and its clock jumps to the next timer when nothing
can run. So a recording takes no time and comes out the same each time.

The behaviour that is followed is that of CPython 3.13. Programs that an older one runs in another way, or
not at all, say so where they are (`needs`), and an older one leaves their recordings as they are, and tells
which. DIRECTORY/VERSION is the CPython that last recorded all of them.
"""

import asyncio
import importlib
import itertools
import pathlib
import sys

sys.dont_write_bytecode = True

#: From here on there are groups and `timeout`.
OLDEST = (3, 11)

#: In the order of the files in main.rs.
FILES = ["cancellation", "timeouts", "groups", "shields", "several", "requests", "eager"]


def needs(*version):
    """Marks a program that CPython runs as recorded only from this version on."""

    def mark(program):
        program.needs = version
        return program

    return mark


class NoSelector:
    """Waits for nothing but the next timer, to which it moves the clock."""

    def __init__(self, loop):
        self.loop = loop

    def select(self, timeout):
        if timeout is None:
            raise RuntimeError("the program waits for something that nobody will do")
        if timeout > 0:
            self.loop.now = self.loop._scheduled[0]._when
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    def __init__(self):
        super().__init__()
        self.now = 0
        self._selector = NoSelector(self)

    def time(self):
        return self.now

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass


class CountedTask(asyncio.Task):
    """A task that sets keep in the order of creation, as long as there are few. A group keeps its tasks in a
    set, and would cancel them in the order of their addresses."""

    number = 0

    def __hash__(self):
        return self.number


class Trace:
    def __init__(self, loop):
        self.loop = loop
        self.lines = []

    def __call__(self, words):
        self.lines.append(f"{self.loop.time():g} {words}")


async def worker(note, name, work, cleanup):
    """Works for some seconds; cancelled, cleans up for some seconds."""
    note(f"{name} starts")
    try:
        await asyncio.sleep(work)
    except asyncio.CancelledError:
        note(f"{name} cleans up")
        try:
            await asyncio.sleep(cleanup)
        except asyncio.CancelledError:
            note(f"{name} is interrupted")
            raise
        note(f"{name} is clean")
        raise
    note(f"{name} is done")
    return name


async def failing(note, name, after):
    """Fails after some seconds."""
    note(f"{name} starts")
    await asyncio.sleep(after)
    note(f"{name} fails")
    raise ValueError(name)


async def outcome(note, name, awaitable):
    """Awaits something, and tells what came of it."""
    try:
        value = await awaitable
    except asyncio.CancelledError:
        note(f"{name}: cancelled")
    except TimeoutError:
        note(f"{name}: timed out")
    except Exception as error:
        note(f"{name}: failed with {shown(error)}")
    else:
        note(f"{name}: {'nothing' if value is None else value}")


def shown(error):
    """An error in words, a group with what is in it."""
    if isinstance(error, BaseExceptionGroup):
        return "[" + ", ".join(shown(inner) for inner in error.exceptions) + "]"
    return str(error)


def record(program):
    loop = VirtualLoop()
    note = Trace(loop)
    numbers = itertools.count()

    def make_task(loop, coroutine, **options):
        task = CountedTask.__new__(CountedTask)
        task.number = next(numbers)  # before it is first put into a set
        task.__init__(coroutine, loop=loop, **options)
        return task

    loop.set_task_factory(make_task)
    loop.set_exception_handler(lambda loop, context: note("the exception handler hears of it"))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(program(note))
    return note.lines


def programs(file):
    """Name and function of each program in a file."""
    module = importlib.import_module(file)
    for name, program in vars(module).items():
        if getattr(program, "__module__", None) == file and not name.startswith("_"):
            yield name, program


def main(directory):
    directory = pathlib.Path(directory)
    # The programs import this file by its name.
    sys.modules["recorder"] = sys.modules[__name__]
    count, left = 0, []
    for file in FILES:
        (directory / file).mkdir(parents=True, exist_ok=True)
        gone = set((directory / file).glob("*.cpython"))
        for name, program in programs(file):
            trace = directory / file / f"{name}.cpython"
            gone.discard(trace)
            needed = getattr(program, "needs", OLDEST)
            if sys.version_info >= needed:
                trace.write_text("\n".join(record(program)) + "\n")
                count += 1
            else:
                left.append(f"{file}/{name} needs {shown_version(needed)}")
        for trace in gone:
            trace.unlink()
    version = sys.version.split()[0]
    print(f"{count} programs recorded with CPython {version}")
    if left:
        print(f"{len(left)} programs left as they were recorded with {recorded_with(directory)}:")
        print(*left, sep="\n")
    else:
        (directory / "VERSION").write_text(version + "\n")


def recorded_with(directory):
    version = directory / "VERSION"
    return f"CPython {version.read_text().strip()}" if version.exists() else "nothing yet"


def shown_version(version):
    return ".".join(map(str, version))


if __name__ == "__main__":
    if sys.version_info < OLDEST:
        sys.exit(f"the programs need CPython {shown_version(OLDEST)} or later")
    main(*sys.argv[1:])
