import asyncio

from ztproxy.turn import turn_of


async def test_what_is_put_off_is_done_together_in_order_at_the_end():
    loop = asyncio.get_running_loop()
    done: list[str] = []
    turn = turn_of(loop)
    turn.at_end(lambda: (done.append("first"), turn.at_end(lambda: done.append("third")))[0])
    turn.at_end(lambda: done.append("second"))
    assert done == []
    await asyncio.sleep(0)
    assert done == ["first", "second", "third"]
    turn.at_end(lambda: done.append("next"))
    await asyncio.sleep(0)
    assert done[-1] == "next"


async def test_one_bug_is_not_anothers():
    loop = asyncio.get_running_loop()
    told: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    done: list[int] = []
    turn_of(loop).at_end(lambda: 1 // 0)
    turn_of(loop).at_end(lambda: done.append(1))
    await asyncio.sleep(0)
    assert done == [1]
    assert isinstance(told[0]["exception"], ZeroDivisionError)


async def test_a_loop_has_one():
    assert turn_of(asyncio.get_running_loop()) is turn_of(asyncio.get_running_loop())
