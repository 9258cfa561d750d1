"""The reference application: a system that sends emails and SMS asynchronously, small and real, and can be broken.

A row with `sent = 0` and a queue entry, workers, a dead letter queue, requeueing, x rounds, then finally failed;
endpoints that list the failed ones and take them back. It knows nothing of comms-reprocess.
"""

from sandbox.application.process import ReferenceApplication

__all__ = ["ReferenceApplication"]
