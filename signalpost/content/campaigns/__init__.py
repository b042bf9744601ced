"""Campaign files: read, explained by file and line, and made into the campaigns of the domain."""

from signalpost.content.campaigns.checking import asked, check, given_facts, is_warning
from signalpost.content.campaigns.loader import Campaigns, Folder, NoSuchCampaign, lint, load
from signalpost.content.campaigns.moments import grace, not_on_the_clock
from signalpost.content.campaigns.recurrence import (
    Occurrence,
    at_wall,
    check_cron,
    check_rrule,
    occurred,
    occurrence_at,
    occurrences,
)
from signalpost.content.campaigns.scaffold import scaffold
from signalpost.content.campaigns.schema import from_definition, version_of

__all__ = [
    "Campaigns",
    "Folder",
    "NoSuchCampaign",
    "Occurrence",
    "asked",
    "at_wall",
    "check",
    "check_cron",
    "check_rrule",
    "from_definition",
    "given_facts",
    "grace",
    "is_warning",
    "lint",
    "load",
    "not_on_the_clock",
    "occurred",
    "occurrence_at",
    "occurrences",
    "scaffold",
    "version_of",
]
