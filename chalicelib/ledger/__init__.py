"""The ledger: the only package that talks to the DynamoDB table.

The table holds what must not be forgotten while it matters: who claimed which communication and what the answer was,
the runs and their batches, and the API's tokens. Every rule is one conditional write, except
that a relapse is counted in a transaction.
"""

from chalicelib.ledger.allowances import Allowances
from chalicelib.ledger.approvals import Approvals
from chalicelib.ledger.bulk_pages import BulkPages
from chalicelib.ledger.checkpoints import Checkpoints
from chalicelib.ledger.communications import Communications
from chalicelib.ledger.incidents import Incidents
from chalicelib.ledger.mails import Mails
from chalicelib.ledger.outages import Outages
from chalicelib.ledger.pacing import Pacing
from chalicelib.ledger.page import PageAddress
from chalicelib.ledger.relapses import Relapses
from chalicelib.ledger.runs import Runs
from chalicelib.ledger.schedule import Schedule
from chalicelib.ledger.situations import Situations
from chalicelib.ledger.table import Table
from chalicelib.ledger.tokens import Tokens
from chalicelib.ledger.worklist import Worklist
from chalicelib.times import Clock


class Ledger:
    """The ledger in `table`. It forgets what needs nobody's attention after `retention` milliseconds."""

    def __init__(self, table: Table, clock: Clock, retention: int) -> None:
        self.clock = clock
        self.communications = Communications(table, clock)
        self.runs = Runs(table, clock, retention)
        self.relapses = Relapses(table)
        self.bulk_pages = BulkPages(table, clock, retention)
        self.mails = Mails(table, clock)
        self.incidents = Incidents(table)
        self.checkpoints = Checkpoints(table)
        self.tokens = Tokens(table, clock)
        self.allowances = Allowances(table, clock)
        self.approvals = Approvals(table, clock, retention)
        self.schedule = Schedule(table, clock)
        self.pacing = Pacing(table, clock)
        self.page = PageAddress(table)
        self.outages = Outages(table, clock, retention)
        self.situations = Situations(table)
        self.worklist = Worklist(table, clock, retention)
