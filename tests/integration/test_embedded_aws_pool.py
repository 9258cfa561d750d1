"""The embedded AWS shares few processes among many calls: nobody waits for ever, and warm processes are used again."""

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.aws.model import Function, LambdaError
from sandbox.aws.pool import Pool, PoolTimeouts

FOREVER = 3600.0


class FakeProcess:
    """A process that does nothing."""

    exited = False

    def __init__(self, function):
        self.function = function
        self.usable = True
        self.idle_since = 0.0

    def kill(self):
        self.usable = False

    def join(self):
        pass


class Starter:
    """Starts fakes, and counts."""

    def __init__(self):
        self.started = []
        self.most = 0

    def __call__(self, function):
        self.started.append(FakeProcess(function))
        self.most = max(self.most, sum(process.usable for process in self.started))
        return self.started[-1]


def function(name, **changes):
    arn = f"arn:aws:lambda:eu-west-1:123456789012:function:{name}"
    plain = Function(name, arn, "main.handler", 3, 128, (), "sha", b"", reserved=None, retries=2)
    return dataclasses.replace(plain, **changes)


@pytest.fixture
def start():
    return Starter()


def test_no_more_run_than_the_limit_allows(start):
    """Fifty calls at once of five functions all get their turn, by three processes at most at a time."""
    pool = Pool(3, start, PoolTimeouts(keep_warm=0, bypass=0, deadlock=FOREVER))

    def call(number):
        with pool.process(function(str(number % 5))) as process:
            time.sleep(0.001)
            assert process.function.name == str(number % 5)

    with ThreadPoolExecutor(50) as threads:
        list(threads.map(call, range(50)))
    assert start.most <= 3


def test_a_warm_process_is_taken_first(start):
    """The same function again is served by the process that it had."""
    pool = Pool(3, start)
    for _ in range(3):
        with pool.process(function("a")):
            pass
    assert len(start.started) == 1


def test_room_is_made_by_ending_who_was_idle_longest(start):
    """With no room for another function, the process that has been idle longest goes."""
    pool = Pool(2, start, PoolTimeouts(keep_warm=0))
    for name in ("a", "b", "c"):
        with pool.process(function(name)):
            pass
    assert [process.function.name for process in pool.processes()] == ["b", "c"]


def test_a_process_is_left_to_its_function_for_a_while(start):
    """An idle process is not ended at once for another function, but when that one's patience is at its end."""
    pool = Pool(1, start, PoolTimeouts(keep_warm=FOREVER, bypass=0.3, deadlock=FOREVER))
    with pool.process(function("a")):
        pass
    begin = time.monotonic()
    with pool.process(function("b")):
        waited = time.monotonic() - begin
    assert waited >= 0.3
    assert [process.usable for process in start.started] == [False, True]


def test_nobody_is_overtaken_for_ever(start):
    """While one function is called all the time, another one gets its turn."""
    pool = Pool(1, start, PoolTimeouts(keep_warm=FOREVER, bypass=0.1, deadlock=FOREVER))
    served = threading.Event()

    def call_all_the_time():
        while not served.is_set():
            with pool.process(function("a")):
                time.sleep(0.001)

    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(call_all_the_time) for _ in range(4)]
        with pool.process(function("b")):
            served.set()
    assert all(call.exception() is None for call in calls)


def test_functions_that_call_functions_do_not_wait_for_each_other_for_ever(start):
    """When everybody waits for a process that somebody holds who waits too, the limit is exceeded."""
    pool = Pool(1, start, PoolTimeouts(deadlock=0.1))
    with pool.process(function("a")), pool.process(function("b")), pool.process(function("a")):
        assert len(pool.processes()) == 3
    assert len(pool.processes()) == 1


@pytest.mark.parametrize("change", [{"code_sha256": "other"}, {"environment": (("A", "1"),)}, {"handler": "x.y"}])
def test_a_process_of_an_earlier_deployment_is_ended(start, change):
    """What was deployed anew is not served by what ran before."""
    pool = Pool(2, start)
    with pool.process(function("a")):
        pass
    with pool.process(function("a", **change)) as process:
        assert process is start.started[1]
    assert not start.started[0].usable


def test_a_process_that_died_is_not_given_out(start):
    """A dead process is neither kept nor given to the next caller."""
    pool = Pool(2, start)
    with pool.process(function("a")) as dead:
        dead.usable = False
    with pool.process(function("a")) as process:
        assert process is not dead
    process.usable = False
    with pool.process(function("a")) as third:
        assert third not in (dead, process)


def test_a_start_that_fails_takes_no_room():
    """When starting a process fails its caller hears so, and the room is free again."""

    def fail(function):
        raise OSError(function.name)

    pool = Pool(1, fail)
    for _ in range(2):
        with pytest.raises(OSError, match="a"), pool.process(function("a")):
            pass


def test_closing_refuses_who_waits(start):
    """Closed, the pool kills what runs and refuses those who wait and those who come."""
    pool = Pool(1, start, PoolTimeouts(deadlock=FOREVER))
    with ThreadPoolExecutor(1) as threads, pool.process(function("a")) as process:
        waiting = threads.submit(lambda: pool.process(function("b")).__enter__())
        pool.close()
        with pytest.raises(LambdaError, match="stopping"):
            waiting.result()
    assert not process.usable
    with pytest.raises(LambdaError, match="stopping"), pool.process(function("a")):
        pass
