"""What may have been sent already, though a restored record does not know it."""

from dataclasses import dataclass
from datetime import datetime

#: Why a message is ``unknown`` that was not handed over after a restore.
CODE = "lost_window"


@dataclass(frozen=True)
class LostWindow:
    """From a backup to its restore: what was done in between is not on the record."""

    since: datetime
    until: datetime

    def may_have_done(self, *, due: datetime | None, caused: datetime | None = None) -> bool:
        """Whether somebody due then, or for what happened then, may have been written to already.

        ``caused`` inside of the window can only come from a signal that was sent to us again.
        """
        was_due = due is not None and due <= self.until
        return was_due or (caused is not None and self.since < caused <= self.until)
