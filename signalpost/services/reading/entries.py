"""One thing that happened to a customer, as the timeline tells it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that happened.

    ``kind``: event | decision | message | delivery | receipt | inbox | question | reply | answer |
    case | hook_call | merge | conflict | consent | suppression | journey | campaign.
    ``tone``: plain | good | bad | warn | quiet; how loud a page should say it.
    """

    at: datetime
    kind: str
    id: str
    says: str
    tone: str = "plain"
    channel: str | None = None
    message_id: str | None = None
    enrolment_id: str | None = None
    campaign_run_id: str | None = None
    run_id: str | None = None
    text: Mapping[str, str] = field(default_factory=dict)  #: as sent, by part
    detail: Mapping[str, Any] = field(default_factory=dict)
    rank: tuple[str, int] = ("", 0)  #: the order among what happened at one moment

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values, without what is empty."""
        known = {
            "at": self.at.isoformat(),
            "kind": self.kind,
            "id": self.id,
            "says": self.says,
            "channel": self.channel,
            "message_id": self.message_id,
            "enrolment_id": self.enrolment_id,
            "campaign_run_id": self.campaign_run_id,
            "run_id": self.run_id,
            "text": dict(self.text),
            "detail": dict(self.detail),
        }
        return {key: value for key, value in known.items() if value not in (None, {})}


def known(**values: Any) -> dict[str, Any]:
    """What is known, as JSON values: moments as text, nothing that is empty."""
    return {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in values.items()
        if value not in (None, "", {}, [])
    }
