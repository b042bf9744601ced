"""Looking at what campaigns brought about, whoever asks: an answer that is known is kept, and stands."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import structlog
from sqlmodel import Session

from signalpost.content.campaigns import from_definition
from signalpost.domain.campaign import Campaign
from signalpost.errors import SignalpostError
from signalpost.record import campaigns
from signalpost.services.campaigns import results
from signalpost.services.campaigns.measuring import RESULT
from signalpost.services.campaigns.results import Results
from signalpost.services.campaigns.runs import Run
from signalpost.services.desk import Desk

log = structlog.get_logger(__name__)

#: Statuses of runs that have begun.
_BEGUN = ("running", "paused", "done", "cancelled")
#: For how long after the last person's time is over a run is still looked at.
_AFTERWARDS = timedelta(days=2)
_MOST = 200  #: runs that are looked through


def look_at_all(desk: Desk, *, now: datetime) -> Iterator[tuple[Run, Results]]:
    """Look at each run whose answer may come to be known; gives what it brought about so far.

    A run is looked at until every arm's answer is kept, or until nobody can buy in time any more.
    One that cannot be read is left to `campaign report`, which says why.
    """
    with desk.database.reading() as session:
        waiting = [run for run in _runs(session) if _may_tell(session, run, now)]
    for run in waiting:
        try:
            yield run, results.look(desk, which=run.id, now=now, prices=desk.sms_prices or None)
            if _latest(desk, run):
                results.look(desk, which=run.campaign, whole_campaign=True, now=now)
        except SignalpostError as error:
            log.warning("results.not_read", campaign_run=run.id, error=type(error).__name__)


def _runs(session: Session) -> list[Run]:
    rows = campaigns.runs(session, statuses=_BEGUN, limit=_MOST)
    return [Run.of(row) for row in rows if row["started_at"] is not None]


def _may_tell(session: Session, run: Run, now: datetime) -> bool:
    definition = campaigns.definition(session, version=run.version)
    if not definition:
        return False
    try:
        campaign = from_definition(definition)
    except SignalpostError:  # a version of another time
        return False
    if run.ended_at and now > run.ended_at + campaign.measure.within + _AFTERWARDS:
        return False
    kept = {
        arm
        for row in campaigns.acts(session, campaign_run_id=run.id)
        if row["act"] == RESULT and row["detail"].get("of") == "run"
        for arm in row["detail"]["verdicts"]
    }
    return len(kept) < _treated(campaign)


def _treated(campaign: Campaign) -> int:
    """How many sides are compared with another: without a control, with the first of them."""
    messages = sum(arm.message is not None for arm in campaign.arms)
    has_control = campaign.holdout > 0 or messages < len(campaign.arms)
    return max(messages if has_control else messages - 1, 1)


def _latest(desk: Desk, run: Run) -> bool:
    """Whether it is the newest of several runs: then the campaign as a whole has an answer too."""
    with desk.database.reading() as session:
        newest = campaigns.runs(session, campaign=run.campaign, statuses=_BEGUN, limit=2)
    return len(newest) > 1 and newest[0]["id"] == run.id
