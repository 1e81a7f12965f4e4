import asyncio
import sys

from kosoku import FailureError, run_fuzzingclient


async def main():
    try:
        passed = await run_fuzzingclient(sys.argv[1], None, sys.argv[2:], concurrency=8)
        print(len(passed), "cases")
    except FailureError as failure:
        for case in failure.results:
            if not case.passed:
                print(case.case_id, case.behavior.value, case.behavior_close.value)


asyncio.run(main())
