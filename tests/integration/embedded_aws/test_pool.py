"""The pool of function processes reuses warm processes, respects its limit, and lets no call wait for ever."""

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


class FakeStarter:
    """Starts fake processes; `most` is how many of them ran at the same time."""

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
    return FakeStarter()


def test_no_more_processes_run_than_the_limit_allows(start):
    """Fifty concurrent calls of five functions are all served."""
    pool = Pool(3, start, PoolTimeouts(keep_warm=0, bypass=0, deadlock=FOREVER))

    def call(number):
        with pool.process(function(str(number % 5))) as process:
            time.sleep(0.001)
            assert process.function.name == str(number % 5)

    with ThreadPoolExecutor(50) as threads:
        list(threads.map(call, range(50)))
    assert start.most <= 3


def test_a_warm_process_is_used_again_for_the_same_function(start):
    """The pool does not start another one."""
    pool = Pool(3, start)
    for _ in range(3):
        with pool.process(function("a")):
            pass
    assert len(start.started) == 1


def test_a_full_pool_ends_the_process_that_has_been_idle_longest(start):
    """Another function needs the room."""
    pool = Pool(2, start, PoolTimeouts(keep_warm=0))
    for name in ("a", "b", "c"):
        with pool.process(function(name)):
            pass
    assert [process.function.name for process in pool.processes()] == ["b", "c"]


def test_an_idle_process_is_kept_warm_until_another_function_has_waited_long_enough(start):
    """The pool is full, so the other function has to wait for a process."""
    pool = Pool(1, start, PoolTimeouts(keep_warm=FOREVER, bypass=0.3, deadlock=FOREVER))
    with pool.process(function("a")):
        pass
    begin = time.monotonic()
    with pool.process(function("b")):
        waited = time.monotonic() - begin
    assert waited >= 0.3
    assert [process.usable for process in start.started] == [False, True]


def test_a_function_is_served_although_another_one_is_called_all_the_time(start):
    """It may be overtaken for a limited time only."""
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


def test_a_full_pool_exceeds_its_limit_to_end_a_deadlock(start):
    """Functions that call functions would wait for each other's processes."""
    pool = Pool(1, start, PoolTimeouts(deadlock=0.1))
    with pool.process(function("a")), pool.process(function("b")), pool.process(function("a")):
        assert len(pool.processes()) == 3
    assert len(pool.processes()) == 1


@pytest.mark.parametrize("change", [{"code_sha256": "other"}, {"environment": (("A", "1"),)}, {"handler": "x.y"}])
def test_a_process_of_an_earlier_deployment_is_ended(start, change):
    """Here the code, the environment or the handler has changed."""
    pool = Pool(2, start)
    with pool.process(function("a")):
        pass
    with pool.process(function("a", **change)) as process:
        assert process is start.started[1]
    assert not start.started[0].usable


def test_a_dead_process_is_never_used_again(start):
    """It may have died during a call or while it was idle."""
    pool = Pool(2, start)
    with pool.process(function("a")) as dead:
        dead.usable = False
    with pool.process(function("a")) as process:
        assert process is not dead
    process.usable = False
    with pool.process(function("a")) as third:
        assert third not in (dead, process)


def test_a_process_that_fails_to_start_takes_no_room_in_the_pool():
    """The caller gets the error, and the next call may try again."""

    def fail(function):
        raise OSError(function.name)

    pool = Pool(1, fail)
    for _ in range(2):
        with pytest.raises(OSError, match="a"), pool.process(function("a")):
            pass


def test_a_closed_pool_refuses_callers_that_wait_and_new_ones(start):
    """It kills the running processes."""
    pool = Pool(1, start, PoolTimeouts(deadlock=FOREVER))
    with ThreadPoolExecutor(1) as threads, pool.process(function("a")) as process:
        waiting = threads.submit(lambda: pool.process(function("b")).__enter__())
        pool.close()
        with pytest.raises(LambdaError, match="stopping"):
            waiting.result()
    assert not process.usable
    with pytest.raises(LambdaError, match="stopping"), pool.process(function("a")):
        pass
