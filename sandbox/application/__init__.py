"""The reference application: a small, real system that sends emails and SMS, and that can be broken on purpose.

A communication is a row with `sent = 0` and a message on a queue. A worker hands it to a provider. If that fails, the
message goes to a dead letter queue and is queued again, for a number of rounds; then the communication has finally
failed. Endpoints list the failed communications and accept them again. Nothing here knows comms-reprocess.
"""

from sandbox.application.process import ReferenceApplication

__all__ = ["ReferenceApplication"]
