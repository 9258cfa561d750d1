"""letters for the post, rendered by workers outside of Lambda that are killed and stopped."""

from contextlib import ExitStack

from examples.activity.office import Office
from examples.activity.systems import PostOffice, Process
from examples.story import Story
from sandbox.deployed import Deployed

BATCH, LETTERS = "morning", 6


def run(deployed: Deployed) -> None:
    """Send a batch to the post while workers come and go. DemoFailed if something is not as it should be."""
    story = Story()
    story.deploy(deployed, {})
    office = Office(deployed)
    with ExitStack() as stack:
        post = stack.enter_context(office.post())
        first, second = (stack.enter_context(office.worker(name)) for name in ("first", "second"))
        execution = _begin(story, office, first, second)
        _lose(story, first, second)
        stack.enter_context(office.worker("third"))
        _finish(story, office, execution)
        _show(story, post)


def _begin(story: Story, office: Office, first: Process, second: Process) -> str:
    story.step(
        f"Start a batch of {LETTERS} letters, with two workers",
        "Rendering takes longer than a Lambda function may run. So the state machine puts each letter into the queue "
        "of an activity, and workers on any machine ask for them.",
    )
    execution = office.start(BATCH, LETTERS)
    story.wait("each worker has a letter in hand", lambda: first.said("began") and second.said("began"))
    return execution


def _lose(story: Story, first: Process, second: Process) -> None:
    story.step(
        "Kill the first worker (SIGKILL)",
        "It tells nobody. But its heartbeats end, and 15 seconds later Step Functions offers its letter again.",
    )
    first.kill()
    story.step(
        "Tell the second worker to stop (SIGTERM)",
        "It gives its letter back, and ends. That uses up none of the retries that are there for failures.",
    )
    story.check("the second worker's exit code", second.terminate(), 0)


def _finish(story: Story, office: Office, execution: str) -> None:
    story.step(
        "Ask for the same batch again, with a third worker",
        "Whoever is in doubt asks again: the execution is called like the batch, so there is only one.",
    )
    story.check("the execution", office.start(BATCH, LETTERS), execution)
    story.wait("the killed worker's letter is back, and the batch ends", lambda: office.status(execution) != "RUNNING")
    story.check("the batch", office.status(execution), "SUCCEEDED")


def _show(story: Story, post: PostOffice) -> None:
    story.step(
        "Look at what the post has",
        "Each letter once, whoever rendered it: its key in the bucket is a lock that no late worker can take again.",
    )
    story.wait("the post has collected all letters", lambda: len(post.letters(BATCH)) == LETTERS)
    rows = [
        f"{key.rpartition('/')[2]}  {len(document):,} bytes, rendered by the {name} worker"
        for key, (name, document) in sorted(post.letters(BATCH).items())
    ]
    story.quote("\n".join(rows))
