"""The ledger's table, and the bucket."""

from deployment.description import Bucket, Index, Table

# Sparse indexes contain only the items that have the attribute, and are called like it.
LEDGER = Table(
    sort="sk",
    numbers=("manualSince", "requestedAt"),
    indexes=(
        Index("runs", "runs", "requestedAt"),
        Index("open", "open", "requestedAt"),
        Index("worklist", "worklist", "manualSince"),
    ),
    ttl="expiresAt",
    # `check` reads what was sent, `status` runs and worklist, `token` reads and writes tokens.
    commands="GetItem PutItem UpdateItem BatchGetItem Query",
    queried=("runs", "worklist"),
    logical_id="Ledger",
)

# Manifests, selections and the Map's results are needed while a run is under way, and sometimes looked at for a while
# afterwards.
DAYS = 90

MANIFESTS = Bucket(expiry={"": DAYS}, logical_id="Manifests")
