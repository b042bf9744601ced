"""Moves the one clock of all processes from moment to moment, and waits for the product to settle."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from signalpost.clock import set_file
from signalpost.demo import world
from signalpost.demo.crowd import Crowd
from signalpost.demo.marketing import Marketing
from signalpost.demo.people import CAST, Person
from signalpost.demo.reading import Reading
from signalpost.demo.telling import Teller, counted, worth_telling
from signalpost.errors import TransientError

#: Seconds of the wall clock that the product has to settle after each step. On a busy machine the
#: database of Prefect may be locked for one minute or two; the work goes on after that.
PATIENCE = 150.0
_LOOK_EVERY = 0.05
#: The shop's tills report at least so often; what is due for anybody is done then too.
TILLS_EVERY = timedelta(hours=12)


class StuckError(TransientError):
    """The product did not settle in time."""


@dataclass(frozen=True)
class Scene:
    """Everything that the story acts through."""

    shop: world.Shop
    post: world.PostOffice
    app: world.App
    marketing: Marketing
    reading: Reading
    teller: Teller


Act = Callable[["Director"], None]


@dataclass(frozen=True)
class Beat:
    """A moment of the story: what happens, in words and in deed."""

    at: datetime
    says: str
    act: Act
    who: Person | None = None  #: whose record it changes, if of somebody with a part in the story


class Director:
    """Plays a story. ``pause``: seconds after each step, so that a person can follow."""

    def __init__(self, scene: Scene, *, clock_file: Path, crowd: Crowd, pause: float) -> None:
        self.scene = scene
        self.now = crowd.happenings[0].at
        self.steps = 0
        self._clock_file = clock_file
        self._crowd = list(crowd.happenings)
        self._pause = pause
        self._told: dict[str, set[tuple[str, str]]] = {}
        self._decided = 0  #: people of the campaign that were told of

    def play(self, beats: Sequence[Beat], *, end: datetime) -> None:
        """Play the story up to ``end``.

        Raises:
            StuckError: the product did not settle after a step.
            UnansweredError: a part of it does not answer.
        """
        waiting = sorted(beats, key=lambda beat: beat.at)
        self.now = waiting[0].at
        while (moment := self._next(waiting, end)) is not None:
            self._go_to(moment)
            acting = set[Person | None]()
            while waiting and waiting[0].at <= moment:
                acting.add(waiting[0].who)
                self._perform(waiting.pop(0))
            self._report_baskets()
            self.settle()
            self._tell_news(acting)
            self.steps += 1
            time.sleep(self._pause)

    def _next(self, waiting: Sequence[Beat], end: datetime) -> datetime | None:
        """The next moment at which something happens: in the story, at the tills, or that is due."""
        candidates = [self.now + TILLS_EVERY]
        if waiting:
            candidates.append(waiting[0].at)
        if (due := self.scene.reading.next_due(CAST)) is not None:
            candidates.append(due)
        moment = min(candidates)
        return max(moment, self.now) if moment <= end else None

    def _go_to(self, moment: datetime) -> None:
        self.now = moment
        set_file(self._clock_file, moment)
        self.scene.teller.time(moment)

    def _perform(self, beat: Beat) -> None:
        if beat.says:
            self.scene.teller.happens(beat.says)
        beat.act(self)

    def _report_baskets(self) -> None:
        """Post what households did up to now, in Segment batches."""
        ready = [one for one in self._crowd if one.at <= self.now]
        if not ready:
            return
        del self._crowd[: len(ready)]
        households = len({one.person.user_id for one in ready})
        baskets = sum(one.event == "Order Completed" for one in ready)
        coupons = len(ready) - baskets
        things = {"basket": baskets, "redeemed coupon": coupons}
        said = " and ".join(counted(count, name) for name, count in things.items() if count)
        self.scene.teller.happens(f"The tills report {said} of {counted(households, 'household')}")
        self.scene.shop.tell(
            [
                world.track(
                    one.event,
                    one.properties,
                    message_id=one.message_id,
                    at=one.at,
                    person=one.person,
                )
                for one in ready
            ],
            now=self.now,
        )

    def settle(self) -> None:
        """Wait until nobody is due and no receipt or reply is on its way."""
        deadline = time.monotonic() + PATIENCE
        while unrest := self._unrest():
            if time.monotonic() > deadline:
                raise StuckError(f"After {PATIENCE:.0f} seconds: {', '.join(unrest)}.")
            time.sleep(_LOOK_EVERY)

    def _unrest(self) -> list[str]:
        found = self.scene.reading.unrest(self.now)
        if not found and (owed := self.scene.post.owes()):
            found.append(f"the post office has {owed} webhooks to deliver")
        return found

    def _tell_news(self, acting: Collection[Person | None]) -> None:
        news = self.scene.reading.news()
        cast = {
            customer_id: person
            for person in CAST
            if (customer_id := self.scene.reading.customer_id(person)) is not None
        }
        touched = news.customer_ids
        for customer_id, person in cast.items():
            if customer_id in touched or person in acting:
                self._tell_person(person)
        self.scene.teller.to_crowd(news, cast)
        self._tell_campaign()

    def _tell_campaign(self) -> None:
        sheet = self.scene.marketing.sheet(now=self.now)
        if sheet is not None and sheet.progress.decided > self._decided:
            self._decided = sheet.progress.decided
            self.scene.teller.of_campaign(sheet)

    def _tell_person(self, person: Person) -> None:
        told = self._told.setdefault(person.user_id, set())
        for entry in self.scene.reading.timeline(person):
            key = entry.kind, entry.id
            if key not in told and worth_telling(entry):
                self.scene.teller.to_person(person, entry)
            told.add(key)
