"""people register in three systems or in none, whatever fails on the way."""

from typing import Any

from examples.registration.outside import World
from examples.story import Story
from sandbox.deployed import Deployed


def run(deployed: Deployed) -> None:
    """Register three people, with a fault for two of them. DemoFailed if something is not as it should be."""
    story = Story()
    with World(deployed.folder / "world") as world:
        story.deploy(deployed, world.variables)
        _let_all_be_well(story, deployed, world)
        _let_promotions_fail(story, deployed, world)
        _let_mail_fail(story, deployed, world)
        _send_again(story, deployed, world)


def _let_all_be_well(story: Story, deployed: Deployed, world: World) -> None:
    story.step(
        "Ada registers, and everything is well",
        "Directory, products and promotions are processes with databases of their own. The API answers at once; a "
        "state machine registers her in all three, and then sends a mail.",
    )
    _register(story, deployed, world, "Ada", "registered")


def _let_promotions_fail(story: Story, deployed: Deployed, world: World) -> None:
    story.step(
        "Bob registers; promotions writes, and then answers 500",
        "So nobody knows whether promotions has him. What is unknown is undone, too, in all three. A cancelled key is "
        "refused from then on, so that a request which is still on its way changes nothing.",
    )
    world.systems["promotions"].switch(PUT={"status_after": 500})
    _register(story, deployed, world, "Bob", "failed")
    world.repair()


def _let_mail_fail(story: Story, deployed: Deployed, world: World) -> None:
    story.step(
        "Eve registers; the mail provider is down",
        "A mail is no reason to undo a registration. After some retries it becomes a row in a table, to be sent later.",
    )
    world.mail.switch(PUT={"status": 503})
    _register(story, deployed, world, "Eve", "registered")
    world.repair()


def _register(story: Story, deployed: Deployed, world: World, name: str, expected: str) -> None:
    """Register a person, wait for the end, and show what the systems have."""
    key, email = f"{name.lower()}-key-1", f"{name.lower()}@example.com"
    person, headers = {"name": name, "email": email}, {"Idempotency-Key": key}
    answer = deployed.call("POST", "/registrations", headers=headers, json=person)
    story.check("the answer to POST /registrations", answer.status_code, 202)
    story.wait("the execution ends", lambda: _status(deployed, key) != "in_progress")
    story.check(f"{name}'s registration", _status(deployed, key), expected)
    rows = {"POST /registrations": "202, at once", f"GET /registrations/{key}": expected}
    rows |= {system.name: system.state(key) or "nothing" for system in world.systems.values()}
    rows |= {f"mails to {email}": ", ".join(world.mail.mails(email)) or "none"}
    width = max(map(len, rows))
    story.quote("\n".join(f"{what:<{width}}  {value}" for what, value in rows.items()))
    in_each = {"registered": ["registered"], "failed": ["cancelled"]}[expected]
    story.check("the states in the systems", sorted({str(each.state(key)) for each in world.systems.values()}), in_each)


def _status(deployed: Deployed, key: str) -> str:
    status: str = deployed.call("GET", f"/registrations/{key}").json()["status"]
    return status


def _send_again(story: Story, deployed: Deployed, world: World) -> None:
    """Do what comms-reprocess does: list what failed, and post it."""
    story.step(
        "The provider is back: send the mail that failed",
        "This is the API that comms-reprocess needs of an application: one list of what failed, one POST to send it.",
    )
    failed: list[dict[str, Any]] = deployed.call("GET", "/mails/failed").json()["items"]
    story.check("the mails in GET /mails/failed", len(failed), 1)
    answer = deployed.call("POST", "/mails", json={"primaryId": failed[0]["id"]})
    mails = world.mail.mails("eve@example.com")
    story.quote(f"GET /mails/failed         1 mail\nPOST /mails               {answer.status_code}")
    story.quote(f"mails to eve@example.com  {', '.join(mails)}")
    story.check("the mails to Eve", len(mails), 1)
