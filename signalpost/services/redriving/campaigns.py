"""Taking up people of a campaign's run that were set aside: they are asked about anew."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.domain.vocabulary import MessageStatus
from signalpost.errors import ConflictError, NotFoundError
from signalpost.record import campaign_people, campaigns, enrolments, messages, redriving
from signalpost.services.campaigns import launching

#: A message that ended so, and that no provider can have, is taken up as the same message.
_UNSENT = (MessageStatus.FAILED, MessageStatus.EXPIRED)


def take_up(
    session: Session, *, campaign_run_id: str, people: Collection[str], now: datetime
) -> int:
    """Let people be due again in their run, which goes on if it was done; gives how many.

    Raises:
        NotFoundError: there is no such run.
        ConflictError: the run was cancelled or refused.
    """
    run = campaigns.run(session, campaign_run_id=campaign_run_id, lock=True)
    if run is None:
        raise NotFoundError(f"There is no campaign run {campaign_run_id}.")
    if run["status"] not in ("running", "paused", "done"):
        raise ConflictError(
            f"The run of {run['campaign']} is {run['status'].replace('_', ' ')}: nobody in it is "
            "sent anything any more."
        )
    campaign_people.lock_shards(session, campaign_run_id=campaign_run_id)
    rows = redriving.lock_set_aside(session, campaign_run_id=campaign_run_id, people=people)
    theirs: dict[str, list[RowMapping]] = defaultdict(list)
    ids = [row["customer_id"] for row in rows]
    for one in campaign_people.messages_of(session, campaign_run_id=campaign_run_id, people=ids):
        theirs[one["customer_id"]].append(one)
    unsent = [m["id"] for found in theirs.values() for m in found if m["status"] in _UNSENT]
    again = messages.never_handed_over(session, message_ids=unsent)
    messages.requeue(session, message_ids=again, now=now)
    for tries in (0, 1):
        some = [one for one in ids if (one in theirs) == bool(tries)]
        redriving.ask_again(
            session, campaign_run_id=campaign_run_id, people=some, tries=tries, now=now
        )
    _uncount(session, campaign_run_id, rows, theirs)
    for number in {row["shard"] for row in rows}:
        campaign_people.due_again(session, campaign_run_id=campaign_run_id, number=number, at=now)
    if rows:
        launching.go_on_after_all(session, campaign_run_id=campaign_run_id, now=now)
        enrolments.announce(session)
    return len(rows)


def _uncount(
    session: Session,
    campaign_run_id: str,
    rows: Collection[RowMapping],
    theirs: Mapping[str, list[RowMapping]],
) -> None:
    """Take people out of the counts of their shards, under the key that they were counted by."""
    shards = {
        one["number"]: dict(one["counts"])
        for one in campaign_people.shards(session, campaign_run_id=campaign_run_id)
    }
    less: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        counts = shards[row["shard"]]
        channels = {message["channel"] for message in theirs.get(row["customer_id"], ())}
        key = _key(counts, row["reason"], channels)
        if key is not None:
            counts[key] -= 1
            less[row["shard"]][key] -= 1
    for number, changes in less.items():
        campaign_people.add_counts(
            session, campaign_run_id=campaign_run_id, number=number, counts=changes
        )


def _key(counts: Mapping[str, int], reason: str, channels: set[str]) -> str | None:
    fitting = [
        (set(key.split(":", 2)[1].split("+")) - {""}, key)
        for key, number in counts.items()
        if number > 0 and key.startswith("set_aside:") and key.split(":", 2)[2] == reason
    ]
    fitting.sort(key=lambda one: (one[0] != channels, one[1]))
    return fitting[0][1] if fitting else None
