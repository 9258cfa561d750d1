"""The ledger: the only package that knows the table.

One DynamoDB table holds what must never be forgotten while it matters: which communication was claimed by whom and
with what answer, the runs, their batches, and the API tokens. Nothing here uses transactions: each rule is one
conditional write.
"""

from chalicelib.ledger.alerts import Alerts
from chalicelib.ledger.approvals import Approvals
from chalicelib.ledger.communications import Communications
from chalicelib.ledger.positions import Positions
from chalicelib.ledger.runs import Runs
from chalicelib.ledger.schedule import Schedule
from chalicelib.ledger.table import Table
from chalicelib.ledger.tokens import Tokens
from chalicelib.ledger.worklist import Worklist
from chalicelib.times import Clock


class Ledger:
    """The ledger in `table`; it forgets what needs nobody after `retention` milliseconds."""

    def __init__(self, table: Table, clock: Clock, retention: int) -> None:
        self.clock = clock
        self.communications = Communications(table, clock)
        self.runs = Runs(table, clock, retention)
        self.alerts = Alerts(table)
        self.positions = Positions(table)
        self.tokens = Tokens(table, clock)
        self.approvals = Approvals(table, clock, retention)
        self.schedule = Schedule(table, clock)
        self.worklist = Worklist(table, clock, retention)
