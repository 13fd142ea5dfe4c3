from __future__ import annotations

import asyncio

from runtime.engine.service.model.progress import HeldLines, Line, Lines, run_reporting


def test_lines_that_nobody_reads_stop_no_work_and_the_last_are_shown_when_it_fails():
    async def work(lines: Lines) -> None:
        held = HeldLines()
        for number in range(5000):
            held.stream(f"{number}\n")
            await asyncio.sleep(0)
            await asyncio.wait_for(held.room(), 60)
        held.release(lines)

    async def read() -> list[Line]:
        return [line async for line in run_reporting(work)]

    said = asyncio.run(read())
    assert 0 < len(said) < 5000
    assert said == [{"stream": f"{number}\n"} for number in range(5000 - len(said), 5000)]
