"""The pool of function processes reuses warm processes, and never runs more calls at once than its limit allows."""

import dataclasses
from contextlib import ExitStack

import pytest

from sandbox.aws.model import Function, LambdaError
from sandbox.aws.pool import Pool


class FakeProcess:
    """A process that does nothing."""

    exited = False

    def __init__(self, function):
        self.function = function
        self.usable = True
        self.idle_since = 0.0
        self.pid = id(self)

    def kill(self):
        self.usable = False

    def join(self):
        pass


class FakeStarter:
    """Starts fake processes."""

    def __init__(self):
        self.started = []

    def __call__(self, function):
        self.started.append(FakeProcess(function))
        return self.started[-1]


def function(name, **changes):
    arn = f"arn:aws:lambda:eu-west-1:123456789012:function:{name}"
    plain = Function(name, arn, "main.handler", 3, 128, (), "sha", b"", reserved=None, retries=2)
    return dataclasses.replace(plain, **changes)


@pytest.fixture
def start():
    return FakeStarter()


def test_as_many_calls_run_at_once_as_the_limit_allows_and_the_next_one_is_throttled(start):
    """The limit counts the calls of all functions. When a call has ended, another one may begin."""
    pool = Pool(20, start)
    with ExitStack() as calls:
        processes = [calls.enter_context(pool.process(function(str(number % 2)))) for number in range(20)]
        assert len({process.pid for process in processes}) == 20
        with pytest.raises(LambdaError) as caught, pool.process(function("0")):
            pass
        assert (caught.value.status, caught.value.code) == (429, "TooManyRequestsException")
    with pool.process(function("0")) as process:
        assert process in processes


def test_a_warm_process_is_used_again_for_the_same_function(start):
    """The pool does not start another one."""
    pool = Pool(3, start)
    for _ in range(3):
        with pool.process(function("a")):
            pass
    assert len(start.started) == 1


def test_a_process_that_has_been_idle_for_too_long_is_ended(start):
    """The next call, of whichever function, ends it."""
    pool = Pool(2, start, keep_warm=0)
    for name in ("a", "b"):
        with pool.process(function(name)):
            pass
    assert [process.function.name for process in pool.processes()] == ["b"]


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


def test_a_closed_pool_kills_its_processes_and_refuses_calls(start):
    """A busy process is killed too."""
    pool = Pool(2, start)
    with pool.process(function("a")):
        pass
    with pool.process(function("b")):
        pool.close()
        assert not any(process.usable for process in start.started)
    with pytest.raises(LambdaError, match="stopping"), pool.process(function("a")):
        pass
