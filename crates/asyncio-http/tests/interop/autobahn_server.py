import asyncio
import sys

from kosoku import FailureError, run_fuzzingserver


async def main():
    async with run_fuzzingserver(None, sys.argv[1:], port=0) as server:
        print(server.port, flush=True)
        try:
            print(len(await server.get_result()), "cases", flush=True)
        except FailureError as failure:
            for case in failure.results:
                if not case.passed:
                    print(case.case_id, case.behavior.value, case.behavior_close.value)


asyncio.run(main())
