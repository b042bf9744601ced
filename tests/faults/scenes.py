"""A short story for each invariant: the fault it is about, played on real processes.

``SCENES`` says which mutant of the product (``mutants``) each story has to find out.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

from signalpost import keys
from signalpost.clock import set_file
from tests.faults import invariants
from tests.faults.crash_runs import LEASE, NOON, begin_campaign
from tests.faults.evidence import Accepted, Evidence, Stop, World
from tests.faults.house import House, opened, until
from tests.faults.load import Outside
from tests.faults.places import Crowds
from tests.integration.campaign_engine import campaign

PATIENCE = 25.0  #: seconds for what should come to pass


class Scene:
    """A house with a post office and a web, and what is done to it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.world = World(canaries=("+120577", "u1@example.com", "a1@example.com"))
        self.outside = Outside(house, self.world)
        self.evidence = Evidence(house, self.world)
        house.fork("postoffice", "postoffice")
        house.answers("postoffice", "/postoffice/health")
        self.web()

    def web(self, wishes: str = "") -> None:
        """Begin the web."""
        self.house.fork("web", "web", wishes=wishes)
        self.house.answers("web")

    def sender(self, name: str = "sender", wishes: str = "", **options: Any) -> None:
        """Begin a sender."""
        self.house.fork(name, "sender", wishes=wishes, **({"lease": LEASE} | options))

    def until(self, holds: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        """Wait until something holds."""
        return until(holds, seconds, what)

    def settle(self, seconds: float = PATIENCE) -> bool:
        """Wait until nothing is open; what the record says of it is for the invariants to judge."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(Exception):
                if not invariants.open_work(self.evidence, now=self.outside.now()):
                    return True
            time.sleep(0.02)
        return False

    def later(self, by: timedelta) -> None:
        """Let time pass."""
        set_file(self.house.home / "clock.json", self.outside.now() + by, speed=1)

    def accepted(self) -> list[Accepted]:
        """Give what the post office has taken by now."""
        for name in ("log", "accepted", "messages", "deliveries"):
            self.evidence.__dict__.pop(name, None)
        return self.evidence.accepted

    def taken(self, number: int, seconds: float = PATIENCE) -> list[Accepted]:
        """Wait until the post office has taken so many messages."""
        self.until(lambda: len(self.accepted()) >= number, f"{number} messages", seconds)
        return self.accepted()


def kept_means_kept(scene: Scene) -> None:
    """I1: the web dies as it writes a signal down; whoever was told 2xx is on the record."""
    scene.house.running["web"].end()
    scene.web("intake.writing#2")
    scene.sender()
    scene.outside.beside(lambda: [scene.outside.pickup(n) for n in range(3)])
    scene.until(lambda: scene.house.running["web"].code is not None, "the web dies")
    scene.web()
    scene.until(lambda: not scene.outside.is_busy, "every signal is posted")
    scene.settle(5)


def an_answer_is_lost(scene: Scene) -> None:
    """I2: the provider takes a batch and the connection breaks."""
    scene.outside.fault("sendgrid", "reset_processed", times=1)
    begin_campaign(scene.house)
    scene.sender()
    scene.until(lambda: scene.accepted(), "the batch is taken")
    scene.until(_none_is("sending", scene), "it is settled")
    scene.later(timedelta(seconds=30))
    scene.settle(15)


def an_error_page(scene: Scene) -> None:
    """I3: a proxy answers 502, and the provider never saw the batch."""
    scene.outside.fault("sendgrid", "502_not_processed", times=1)
    begin_campaign(scene.house)
    scene.sender()
    scene.settle(20)


def somebody_says_stop(scene: Scene) -> None:
    """I4: a text says STOP; then an order is ready."""
    scene.outside.pickup(1)
    scene.sender()
    scene.taken(1)
    number = "+12058800001"
    url = scene.house.url() + "/webhooks/twilio/inbound"
    fields = {"MessageSid": "SM" + "0" * 32, "AccountSid": scene.outside.keys["twilio_account_sid"]}
    fields |= {"From": number, "To": "+15005550006", "Body": "STOP", "NumMedia": "0"}
    said = scene.outside.status(url, fields)
    assert said.status == 200, said
    scene.world.stops[number] = Stop.now(said.at, scene.house)
    scene.later(timedelta(seconds=5))
    scene.outside.signal("Order Ready For Pickup", "again", "p1", order_id="O2", store="Riverside")
    scene.settle(8)


def offers_at_dawn(scene: Scene) -> None:
    """I5: it is noon in London, and four in the morning where the crowd lives."""
    with scene.evidence.engine.begin() as record:
        record.exec_driver_sql("UPDATE customers SET zone = 'America/Los_Angeles'")
    begin_campaign(scene.house, campaign())
    scene.sender()
    open_ = "SELECT count(*) FROM campaign_people WHERE due_at > '2026-03-03 13'"
    scene.until(lambda: scene.accepted() or scene.evidence.count(open_), "they are decided")
    scene.until(_none_is("sending", scene), "what was sent is settled")
    scene.later(timedelta(hours=5))
    scene.taken(1)
    scene.settle(8)


def three_offers_a_day(scene: Scene) -> None:
    """I5: three campaigns, each to everybody, on one day: the cap is two."""
    scene.sender()
    for message in ("purchase_offer", "spring_promotion", "win_back"):
        wanted = campaign(name=message.replace("_", "-"), message=message)
        begin_campaign(scene.house, wanted)
        scene.settle()


def a_forger(scene: Scene) -> None:
    """I6: somebody without the keys says what SendGrid and Twilio would say."""
    scene.outside.forge()


def said_twice(scene: Scene) -> None:
    """I7: every event comes three times."""
    [one] = _one_mail(scene)
    event = scene.outside.event(one, "delivered", at=1_772_539_300, id_="again-1")
    scene.outside.events(event)
    scene.world.replayed += [scene.outside.events(event), scene.outside.events(event, event)]


def said_in_any_order(scene: Scene) -> None:
    """I8: the same events in every order, some of them twice."""
    begin_campaign(scene.house)
    scene.sender()
    mails = scene.taken(6)
    scene.settle(8)
    kinds = ("processed", "delivered", "open")
    for one, order in zip(mails, permutations(kinds), strict=False):
        for kind in (*order, order[0]):
            at = 1_772_539_300 + kinds.index(kind)
            id_ = f"{kind}-{one.seq}-{one.address}"
            scene.outside.events(scene.outside.event(one, kind, at=at, id_=id_))
    scene.world.told_alike.append(tuple(one.message_id for one in mails[:6]))


def looked_at_twice(scene: Scene) -> None:
    """I9: an auditor writes the history down; more happens; they look again."""
    [one] = _one_mail(scene)
    for place, kind in enumerate(("processed", "delivered", "open")):
        at = 1_772_539_300 + place
        scene.outside.events(scene.outside.event(one, kind, at=at, id_=f"look-{kind}"))
        scene.world.snapshots.append(scene.evidence.history())


def a_bad_neighbour(scene: Scene) -> None:
    """I10: a provider refuses a whole batch for the sake of one address in it."""
    with scene.evidence.engine.begin() as record:
        record.exec_driver_sql(
            "UPDATE contact_points SET address = 'invalid@example.com' "
            "WHERE address = 'u3@example.com'"
        )
    scene.world.poison.add("invalid@example.com")
    scene.world.neighbours = {f"u{number}@example.com" for number in (0, 1, 2, 4, 5)}
    begin_campaign(scene.house)
    scene.sender()
    scene.settle()


def nobody_is_written_down(scene: Scene) -> None:
    """I11: messages go out, one is refused, and a call is malformed."""
    scene.outside.fault("sendgrid", "400", times=1)
    begin_campaign(scene.house)
    scene.outside.alert(1)
    scene.outside.post("/v1/batch", b'{"batch": [{"userId": "a1@example.com"')
    scene.sender()
    scene.settle(6)


def a_sender_dies(scene: Scene) -> None:
    """I12: a sender dies on its intents; a minute later nothing of it is open."""
    begin_campaign(scene.house)
    scene.sender(wishes="send.intended")
    scene.until(lambda: scene.house.running["sender"].code is not None, "the sender dies")
    scene.later(timedelta(seconds=50))
    scene.sender("another")
    scene.world.quiet_seconds = 50 if scene.settle(6) else 1_000


def too_many_requests(scene: Scene) -> None:
    """I13: the provider says for long that it is asked too often."""
    scene.outside.fault("sendgrid", "429", times=11)
    begin_campaign(scene.house)
    scene.sender()
    hits = lambda: [e for e in scene.evidence.log if e["kind"] == "fault.hit"]  # noqa: E731
    scene.until(lambda: [scene.accepted(), hits()][1], "it is refused once")
    for _ in range(4):
        time.sleep(0.3)
        scene.later(timedelta(seconds=60))
    scene.accepted()


def an_alert_in_a_blast(scene: Scene) -> None:
    """I14: alerts come in while a campaign goes out."""
    scene.world.alert_within = 10.0  # on a machine that does much else
    begin_campaign(scene.house)
    scene.sender("risk", lanes=("risk",))
    scene.sender("others", lanes=("service", "marketing"))
    scene.outside.alert(1)

    def out() -> bool:
        scene.accepted()
        return len(invariants.alert_latencies(scene.evidence)) == 1

    with contextlib.suppress(TimeoutError):
        scene.until(out, "the alert is out", 40)


def _one_mail(scene: Scene) -> list[Accepted]:
    scene.outside.fault("twilio", "400", times=1, code=21614)
    begin_campaign(scene.house)
    scene.sender()
    scene.taken(1)
    scene.settle(8)
    return scene.accepted()[:1]


def _none_is(status: str, scene: Scene) -> Callable[[], bool]:
    query = "SELECT count(*) FROM messages WHERE status = :status"
    return lambda: scene.evidence.count(query, status=status) == 0


@dataclass(frozen=True)
class Story:
    """A story, the invariant it is about, and the mutant that it has to find out."""

    invariant: str
    play: Callable[[Scene], None]
    mutant: str
    crowd: int = 6


SCENES: dict[str, Story] = {
    story.mutant: story
    for story in (
        Story("I1", kept_means_kept, "answers_before_it_commits", crowd=0),
        Story("I2", an_answer_is_lost, "sends_again_what_is_unknown"),
        Story("I3", an_error_page, "believes_that_errors_were_taken"),
        Story("I4", somebody_says_stop, "forgets_who_said_stop", crowd=0),
        Story("I5", offers_at_dawn, "keeps_quiet_hours_in_utc"),
        Story("I5", three_offers_a_day, "forgets_what_was_sent_before"),
        Story("I6", a_forger, "believes_any_signature", crowd=0),
        Story("I7", said_twice, "keeps_every_repeat"),
        Story("I8", said_in_any_order, "believes_whoever_spoke_last"),
        Story("I9", looked_at_twice, "keeps_only_the_last_receipt"),
        Story("I10", a_bad_neighbour, "fails_all_for_the_sake_of_one"),
        Story("I11", nobody_is_written_down, "logs_addresses"),
        Story("I12", a_sender_dies, "holds_claims_for_an_hour"),
        Story("I13", too_many_requests, "asks_again_and_again"),
        Story("I14", an_alert_in_a_blast, "lets_alerts_wait_their_turn", crowd=300),
    )
}


def play(
    story: Story, crowds: Crowds, folder: Path, *, mutated: bool, dialect: str = "sqlite"
) -> dict[str, list[str]]:
    """Play a story, on the product or on its mutant; gives what does not hold of its invariant."""
    with _house(story, crowds, folder, mutated=mutated, dialect=dialect) as house:
        scene = Scene(house)
        try:
            story.play(scene)
            scene.accepted()
            scene.world.now = scene.outside.now()
            return invariants.broken(scene.evidence, story.invariant)
        finally:
            scene.evidence.close()


@contextmanager
def _house(
    story: Story, crowds: Crowds, folder: Path, *, mutated: bool, dialect: str
) -> Iterator[House]:
    home = folder / f"{story.mutant}{'' if mutated else '-not'}-{dialect}"
    home.mkdir(parents=True)
    keys.load_or_make(folder)
    shutil.copyfile(folder / keys.FILE, home / keys.FILE)
    set_file(home / "clock.json", NOON, speed=1)
    url = crowds.record(dialect, story.crowd, home)
    settings = {
        "SIGNALPOST_CLOCK_FILE": str(home / "clock.json"),
        "SIGNALPOST_POSTOFFICE_DELAY": "60",
    }
    mutant = story.mutant if mutated else None
    with opened(home, url, settings=settings, mutant=mutant) as house:
        yield house
