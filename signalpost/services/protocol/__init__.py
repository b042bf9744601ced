"""The send protocol, whole: how a message leaves us at most once, and is never lost without a word.

No vendor takes an idempotency key, so what a crash or a lost answer leaves behind must never be sent
again on a guess. Journeys and campaigns both send like this, and by nothing but this room:

1. **Claim.** Whoever sends holds the people under a lease. The claim's id is the fencing token: every
   transaction below begins by asking whether the claim is still held, and whoever takes people over
   takes the claim away.
2. **Intend** (``intend``). One transaction writes an attempt for each message (``deliveries``, status
   ``sending``) and moves the message to ``sending``, from ``queued`` and from nothing else. Committed.
3. **Fence** (``fence``). Immediately before a request leaves, the sender asks the record whether the
   claim is still its own, and two clocks whether the lease can still run; and whether the customer
   has said no since (``late_stops``). What may not leave has certainly not left: it ends as ``retry``
   and goes back to whoever holds the person now, who asks the gate again.
4. **Hand over** (``hand_over``). The provider is called, outside any transaction, once for each attempt.
5. **Settle** (``settle``). One transaction writes how it ended. A receipt that overtook the answer is
   not overwritten.

Dead between 2 and 5, a sender leaves ``sending``. Whoever comes next, and in any case the sweeper
(``services.reconciling``), makes that ``unknown``, never ``queued``. An unknown message is settled by
what proves its fate: a receipt, or the provider's own list. Nothing sends it again.

Why this is right, interleaving by interleaving: docs/decisions/0016-reconciling.md.
"""

from signalpost.services.protocol.draft import Draft
from signalpost.services.protocol.fence import Fence, kept_alive
from signalpost.services.protocol.hand_over import hand_over
from signalpost.services.protocol.intend import intend, intend_new, keep_variants
from signalpost.services.protocol.settle import BECOMES, becomes, settle
from signalpost.services.protocol.transaction import record_is_back, transaction

__all__ = [
    "BECOMES",
    "Draft",
    "Fence",
    "becomes",
    "hand_over",
    "intend",
    "intend_new",
    "keep_variants",
    "kept_alive",
    "record_is_back",
    "settle",
    "transaction",
]
