"""What the keys of one campaign file cannot say together."""

import re
import unicodedata
from collections.abc import Iterator

from signalpost.content.campaigns.page import Page, Place
from signalpost.content.campaigns.schema import CampaignFile
from signalpost.domain.audience import clauses
from signalpost.domain.campaign import PROMOTED

MOST_HELD_OUT = 0.5
MOST_CLAUSES = 100
#: What customers and tills can type of a code, and no other letter looks like.
_TYPED = re.compile(r"[A-Za-z0-9._-]")

Found = tuple[Place, str, str]  #: where, what is wrong, what to do


def report(file: CampaignFile, page: Page) -> None:
    """Note everything in a file that contradicts the rest of it."""
    for place, says, remedy in (
        *_sending(file),
        *_promotion(file),
        *_facts(file),
        *_experiment(file),
        *_series(file),
    ):
        page.report(page.line(place), str(place[0]), says, remedy)


def _sending(file: CampaignFile) -> Iterator[Found]:
    if file.message is None and not file.stages:
        remedy = "add `message:` and the name of a folder in templates/"
        yield ("message",), "`message` is missing", remedy
    if sum(1 for _ in clauses(file.audience.rule())) > MOST_CLAUSES:
        says = f"the audience has more than {MOST_CLAUSES} rules"
        yield ("audience",), says, "make it simpler, or two campaigns of it"
    used = {channel for chain in file.channels.via() for channel in chain}
    for channel in sorted(set(file.pace) - used):
        says = f"`pace` names {channel}, by which nothing goes out"
        yield ("pace", str(channel)), says, "remove it, or add the channel"


def _promotion(file: CampaignFile) -> Iterator[Found]:
    if file.promotion is None:
        return
    code = file.promotion.code
    if strange := next((one for one in code if not _TYPED.fullmatch(one)), None):
        called = unicodedata.name(strange, "a sign without a name")
        says = (
            f"`code` holds {strange!r} ({called}), which a till does not take or takes for another"
        )
        yield (
            ("promotion", "code"),
            says,
            "write it with letters from A to Z, digits, dots, - and _",
        )
    for name in file.promotion.facts:
        if key := PROMOTED.get(name):
            says = f"the promotion's own `{key}` says {name!r}"
            yield ("promotion", "facts", name), says, f"remove it here, and write it in `{key}`"


def _facts(file: CampaignFile) -> Iterator[Found]:
    promoted = {*PROMOTED, *file.promotion.facts} if file.promotion else set()
    for name in sorted(promoted & set(file.facts)):
        yield ("facts", name), f"the promotion gives {name!r} as well", "give it in one place"
    for number, name in enumerate(file.asks):
        if name in {*file.facts, *file.asks[:number], *promoted}:
            says = f"the fact {name!r} is given twice"
            yield ("asks", number), says, "ask for it, or give it in the file, once"


def _experiment(file: CampaignFile) -> Iterator[Found]:
    if file.holdout > MOST_HELD_OUT:
        says = f"a holdout of {100 * file.holdout:g}% is more than half"
        yield ("holdout",), says, "write 50% or less"
    if file.experiment and not (file.experiment.arms or file.holdout):
        says = "`experiment` has nothing to compare with"
        yield ("experiment",), says, "add arms, or a holdout"


def _series(file: CampaignFile) -> Iterator[Found]:
    stages, place = file.stages, ("stages",)
    opens = [stage for stage in stages if stage.opens]
    closes = [stage for stage in stages if stage.closes]
    names = [stage.name for stage in stages]
    if stages and len(opens) != 1:
        says = f"{len(opens) or 'none'} of the stages opens the series"
        yield place, says, "say opens: true in one of them"
    if len(closes) > 1 or any(stage in opens for stage in closes):
        yield (
            place,
            "a series is closed by one stage, and not by the one that opens it",
            "correct it",
        )
    if len(set(names)) < len(names):
        yield place, "two stages have one name", "rename one"
    if file.holds_back_marketing and not closes:
        remedy = "add stages, of which one says closes: true"
        yield ("holds_back_marketing",), "marketing would be held back for ever", remedy
    if stages and file.schedule:
        yield ("schedule",), "a series is launched by hand, stage by stage", "remove schedule"
    if stages and (file.experiment or file.holdout):
        key = "experiment" if file.experiment else "holdout"
        yield (key,), "a series tells everybody the same", f"remove {key}"
