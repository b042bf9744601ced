"""The text of a new campaign file: every key that a marketer needs, with a word on each."""

import json
import re
from collections.abc import Iterator

from signalpost.content.catalogue import Catalogue
from signalpost.content.spec import MessageSpec
from signalpost.domain.campaign import PROMOTED
from signalpost.domain.vocabulary import Channel, Purpose
from signalpost.errors import BadInputError

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ORDER = (Channel.EMAIL, Channel.SMS, Channel.IN_APP, Channel.WHATSAPP, Channel.MESSENGER)


def scaffold(name: str, message: str, catalogue: Catalogue) -> str:
    """Return the text of ``deployments/campaigns/NAME.yaml`` for a message: right as it stands.

    Raises:
        BadInputError: the name is none for a campaign, or the message asks a question.
        NotFoundError: there is no such message.
    """
    if not _NAME.fullmatch(name):
        raise BadInputError(
            f"{name[:60]!r} is no name for a campaign; use small letters, digits and -."
        )
    spec = catalogue[message]
    if spec.question is not None:
        raise BadInputError(
            f"The message {message!r} asks a question, and a campaign waits for no answer; ask it in a "
            "journey (docs/adding-a-journey.md)."
        )
    return "\n".join([*_head(name, spec), *_facts(spec), *_tail(spec)]) + "\n"


PLACEHOLDER = "Say in one sentence what it is for."  #: a plan's headline, until somebody says it


def _head(name: str, spec: MessageSpec) -> Iterator[str]:
    channels = [channel for channel in _ORDER if channel in spec.channels]
    yield "# What it says, to whom, how and when: docs/adding-a-campaign.md tells all the words."
    yield f"name: {name}"
    yield f"description: {PLACEHOLDER}"
    yield "owner: your team"
    yield (
        f"message: {spec.name}".ljust(34)
        + f"# templates/{spec.name}/: {spec.purpose}, {spec.topic}"
    )
    yield ""
    yield "audience:                         # see who it is: signalpost campaign plan " + name
    yield "  all:"
    yield "    - did: order.placed"
    yield "      within: 1y"
    yield "    # - attribute: tier"
    yield "    #   among: [gold, vip]"
    yield "    # - known_for: {at_least: 90d}"
    yield ""
    yield "channels:"
    yield (
        f"  first: [{', '.join(channels)}]".ljust(34)
        + "# the first that may be used; or every: […]"
    )
    yield ""
    yield "# Without a schedule it is launched by hand. Otherwise one of:"
    yield "# schedule: {at: 2030-06-01 10:00, zone: Europe/London}"
    yield "# schedule: {cron: 0 10 * * TUE, zone: customer}      # ten o'clock wherever each customer is"
    yield ""


def _facts(spec: MessageSpec) -> Iterator[str]:
    own = {name: fact for name, fact in spec.facts.items() if name not in PROMOTED}
    promoted = any(name in PROMOTED and fact.required for name, fact in spec.facts.items())
    if own:
        needed = any(fact.required for fact in own.values())
        yield f"{'' if needed else '# '}facts:".ljust(34) + "# the same for all, or {attribute: …}"
        for name, fact in own.items():
            sample = json.dumps(fact.sample, ensure_ascii=False)
            yield f"{'' if fact.required else '# '}  {name}: {sample}"
        yield ""
    if promoted:
        yield "promotion:                        # one for every channel; redeemed or ended, it stops"
        yield "  id: my-promotion"
        yield "  code: MYCODE"
        yield "  ends: 2030-12-31 23:59"
        yield "  zone: UTC"
        yield ""


def _tail(spec: MessageSpec) -> Iterator[str]:
    yield "expires: 2d                       # whoever could not be written to by then is left in peace"
    if spec.purpose is Purpose.MARKETING:
        yield "holdout: 10%                      # get nothing on purpose, to know its effect"
    yield "approval: above 1000              # or always, or never"
    yield "# pace: {sms: 20/s}               # no faster than this"
