"""A recorded period played again: the same messages to the same people at the same time, and why."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from signalpost.content.campaigns import occurrences
from signalpost.domain.delivery import Handover
from signalpost.domain.vocabulary import Channel, DeliveryStatus, FaultClass
from signalpost.errors import BadInputError, NotFoundError
from signalpost.record import customers
from signalpost.record.base import metadata, new_id
from signalpost.record.customers import ContactPoint
from signalpost.services.campaigns import following
from signalpost.services.intake import identity
from signalpost.services.links import BadLinkError, Links
from signalpost.simulation import Cast, Diff, played, simulate, went
from signalpost.simulation.quiet import Unsigned
from tests.integration.simulation_harness import JOURNEYS, Life, campaign, moment

SINCE, UNTIL = moment("04 00:00"), moment("14 00:00")
EARLIER = campaign("earlier", message="purchase_offer")
SPRING = campaign(
    channels={"every": ["email"]},
    holdout="5%",
    caps=["2 per 7d"],
    experiment={
        "arms": [
            {"name": "a", "share": "35%", "message": "spring_promotion"},
            {"name": "b", "share": "25%", "message": "purchase_offer"},
            {"name": "none", "share": "40%", "control": True},
        ]
    },
)
SECOND = campaign(
    "second",
    message="win_back",
    channels={"first": ["sms", "email"], "preferred": True},
    promotion={
        "id": "BACK", "code": "BACK15", "ends": "2027-05-31 23:59", "zone": "UTC",
    },
    facts={"percent": {"attribute": "percent"}},
    expires="3d",
)  # fmt: skip
THIRD = campaign("third", message="early_bird", channels={"every": ["email"]}, caps=["1 per 2d"])
PLAIN = campaign(channels={"every": ["email"]})
CAMPAIGNS = {one.name: one for one in (EARLIER, SPRING, SECOND, THIRD)}
ZONES = ("UTC", "America/New_York", "Asia/Tokyo", "Pacific/Auckland", "Europe/Berlin")


@pytest.fixture
def life(tmp_path, database_url):
    with Life(
        folder=tmp_path, journeys=JOURNEYS, campaigns=CAMPAIGNS, database_url=database_url
    ) as opened:
        yield opened


def refuses_some(outgoing):
    """A provider that knows u7 no longer, and that cannot take u8 just now."""
    if outgoing.address == "u7@example.com":
        return answer(outgoing, DeliveryStatus.REJECTED, FaultClass.PERMANENT, "550")
    if outgoing.address == "+12065550008" and not refuses_some.busy:
        refuses_some.busy.append(1)
        return answer(outgoing, DeliveryStatus.RETRY, FaultClass.TRANSIENT, "429")
    return None


def answer(outgoing, status, fault, code):
    return Handover(status=status, provider="outbox", fault=fault, code=code)


def live(life):
    """Ten days with everything in them that can hold a message up."""
    refuses_some.busy = []
    life.to("02 09:00")
    for number in range(40):
        life.customer(
            number, timezone=ZONES[number % 5], percent=15 if number % 9 else None,
            says_no=number % 11 == 3,
            **({"preferred_channel": "email"} if number % 4 == 0 else {}),
        )  # fmt: skip
    life.signal("order.ready_for_pickup", user_id="u1", order_id="O-1", store="Harbour")
    life.to("03 10:00")
    life.go(EARLIER, sample_of=25)
    life.to("04 08:00")
    life.outbox.manner = refuses_some
    for number in range(10, 30):
        life.signal("order.ready_for_pickup", user_id=f"u{number}", order_id=f"O-{number}",
                    store="Harbour" if number != 12 else None)  # fmt: skip
    life.signal(
        "order.placed", user_id="u5", order_id="P-5", total={"amount": "10", "currency": "USD"}
    )
    life.to("04 20:59")
    spring = life.go(SPRING)
    life.to("04 22:30")
    life.stop(2)
    life.signal("consent.withdrawn", user_id="u27", channel="email", topic="offers")
    life.signal("promotion.redeemed", user_id="u24", code="LARK15", promotion_id="SPRING-26")
    life.to("04 23:00")
    life.customer(40, timezone="Asia/Tokyo")
    life.signal("profile.updated", user_id="u4", email="new4@example.com")
    life.signal("promotion.redeemed", user_id="u6", code="LARK15", promotion_id="SPRING-26")
    life.signal(
        "order.placed", user_id="u9", order_id="P-9", total={"amount": "10", "currency": "USD"}
    )
    life.to(
        "04 23:10"
    )  # in the middle of Tokyo's morning, when each comes at a moment of their own
    life.stop(22)
    life.signal("profile.updated", user_id="u17", email="new17@example.com")
    life.signal("consent.withdrawn", user_id="u32", channel="email", topic="offers")
    life.to("05 07:05")
    life.pause(spring)
    life.to("05 09:00")
    life.resume(spring)
    life.signal("order.picked_up", user_id="u10", order_id="O-10")
    life.signal("order.cancelled", user_id="u11", order_id="O-11")
    life.to("05 16:00")
    second = life.go(SECOND, scheduled_at=moment("05 18:00"))
    life.to("05 18:00")
    life.begin(second)
    life.to("05 19:00")
    life.go(THIRD)
    life.to("06 12:00")
    life.reply("+12065550010", "1")
    life.to("14 10:00")


def same(found, real):
    assert sorted(found.sendings) == sorted(real.sendings)
    assert sorted(found.decided, key=str) == sorted(real.decided, key=str)


def test_a_simulation_sends_exactly_what_was_sent(life):
    """Held people, caps, a stop, a new address, a redeemed offer, refusals, a pause, two arms."""
    live(life)
    before = rows(life)
    cast = Cast(campaigns=CAMPAIGNS, programs=life.desk.programs)
    real = went(life.desk, cast=cast, since=SINCE, until=UNTIL)
    assert len(real.sendings) > 80
    reasons = {why for _, _, why in real.reasons()}
    assert reasons >= {
        "allowed", "quiet_hours", "duplicate", "frequency_cap", "no_consent", "control",
        "missing_fact:percent", "suppressed_unsubscribe", "consent_denied", "already_redeemed",
    }  # fmt: skip
    same(played(life.desk, cast=cast, since=SINCE, until=UNTIL).outcome, real)
    # One campaign alone, with everything else as recorded; and its people in two processes.
    alone = Cast(campaigns={"second": SECOND})
    its_own = went(life.desk, cast=alone, since=SINCE, until=UNTIL)
    assert its_own.sendings
    same(played(life.desk, cast=alone, since=SINCE, until=UNTIL).outcome, its_own)
    same(played(life.desk, cast=alone, since=SINCE, until=UNTIL, processes=2).outcome, its_own)
    assert rows(life) == before, "a simulation wrote on the record"


def test_of_two_runs_that_somebody_comes_back_to_in_one_morning_the_first_counts(life):
    """Both wait for the end of the night, and the second's cap lets one message through."""
    life.to("05 16:00")
    for number in range(30):
        life.customer(number, timezone="Asia/Tokyo", percent=15, preferred_channel="email")
    life.go(SECOND)
    life.go(THIRD)
    life.to("06 12:00")
    cast = Cast(campaigns=CAMPAIGNS, programs=life.desk.programs)
    real = went(life.desk, cast=cast, since=SINCE, until=UNTIL)
    assert {"allowed", "frequency_cap"} <= {why for _, _, why in real.reasons()}
    same(played(life.desk, cast=cast, since=SINCE, until=UNTIL).outcome, real)


def test_what_is_known_of_somebody_merged_is_played_with_their_root(life):
    """People are parted by the ids of roots: here the address was written with another one's id."""
    life.to("02 09:00")
    keys = [("user_id", f"{whose}{number}") for whose in ("u", "card") for number in range(20)]
    for number in range(20):
        life.customer(number)
        life.signal("profile.updated", user_id=f"card{number}",
                    traits={"timezone": "UTC", "marketing_consent": True})  # fmt: skip
    with life.database.writing() as session:
        ids = customers.led_to(session, keys)
        for number in range(20):
            identity.merge(
                session, kept=ids["user_id", f"card{number}"], merged=ids["user_id", f"u{number}"],
                reason="test", now=life.clock(),
            )  # fmt: skip
    life.to("04 10:00")
    life.go(PLAIN)
    life.to("05 00:00")
    cast = Cast(campaigns={"spring": PLAIN})
    real = went(life.desk, cast=cast, since=SINCE, until=UNTIL)
    assert len(real.sendings) == 20
    for processes in (1, 2):
        found = played(life.desk, cast=cast, since=SINCE, until=UNTIL, processes=processes)
        same(found.outcome, real)


def rows(life):
    with life.database.reading() as session:
        return {
            table.name: session.execute(select(func.count()).select_from(table)).scalar()
            for table in metadata.sorted_tables
        }


def test_a_simulations_links_open_nothing_and_are_as_long_as_real_ones(tmp_path):
    real = Links(base_url="https://shop.example", secrets=("secret",))
    false = Unsigned(base_url=real.base_url, secrets=real.secrets)
    about = {"customer_id": new_id(), "message_id": new_id(), "topic": "offers", "now": SINCE,
             "website": "", "order_id": None}  # fmt: skip
    for name in ("agent", "answer", "unsubscribe", "preferences"):
        opens, opens_nothing = (one.for_message(**about)[name] for one in (real, false))
        assert len(opens) == len(opens_nothing)
        with pytest.raises(BadLinkError):
            real.read(name, opens_nothing.rpartition("/")[2], now=SINCE)


@pytest.fixture
def town(tmp_path):
    """Thirty people; the campaign ``spring`` went to those who said yes."""
    with Life(folder=tmp_path, campaigns={"spring": PLAIN}) as opened:
        opened.to("03 09:00")
        for number in range(30):
            opened.customer(number, says_no=number % 3 == 0)
        opened.to("04 10:00")
        opened.go(PLAIN)
        opened.to("05 00:00")
        yield opened


def simulated(town, changed, **more):
    return simulate(
        town.desk, campaign=changed, since=SINCE, until=moment("05 00:00"), now=town.clock(), **more
    )


def test_a_simulation_can_send_nothing_even_where_every_provider_is_a_trap(town):
    class Trap:
        name, channels, max_batch = "trap", frozenset(Channel), 1

        async def hand_over(self, letter, batch):
            raise AssertionError("a simulation called a provider")

    desk = replace(town.desk, providers=dict.fromkeys(Channel, Trap()))
    found = simulate(desk, campaign=PLAIN, since=SINCE, until=moment("05 00:00"), now=town.clock())
    assert (len(found.outcome.sendings), found.differs) == (20, False)
    assert len(town.sent) == 20


def test_a_changed_campaign_shows_who_comes_and_goes_when_and_in_which_words(town):
    half = campaign(
        channels={"every": ["email"]}, audience={"sample": {"share": "50%", "seed": "half"}}
    )
    found = simulated(town, half)
    assert found.diff.of == 20
    assert 0 < len(found.diff.dropped) < 20
    assert not found.diff.added
    reworded = campaign(channels={"every": ["email"]}, message="purchase_offer")
    other = simulated(town, reworded).diff  # another message is another thing to send
    assert (len(other.added), len(other.dropped)) == (20, 20)
    code = {**PLAIN.definition["promotion"], "code": "OTHER"}
    said = simulated(town, campaign(channels={"every": ["email"]}, promotion=code)).diff
    assert (len(said.reworded), len(said.added), len(said.moved)) == (20, 0, 0)


def test_each_kind_of_difference_is_shown_by_examples(town):
    """A log of CI says which messages: from when to when, and whom to ask for."""
    code = {**PLAIN.definition["promotion"], "code": "OTHER"}
    said = simulated(town, campaign(channels={"every": ["email"]}, promotion=code))
    shown = said.markdown()
    [*examples] = [line for line in shown.splitlines() if line.startswith("- in other words:")]
    assert len(examples) == 5
    assert said.diff.reworded[0][0].customer_id in examples[0]
    assert "- … and 15 more of these" in shown
    went = said.diff.reworded[0][0]
    later = went._replace(at=went.at + timedelta(minutes=4, seconds=1))
    moved = replace(said, diff=Diff(of=20, moved=[(went, later)])).markdown()
    assert (
        f"- at another time: spring_promotion by email to {went.customer_id}, "
        "4 Mar 2026, 10:00:00 UTC → 4 Mar 2026, 10:04:01 UTC"
    ) in moved


def test_who_was_held_out_is_shown_with_the_reason(town):
    half = campaign(channels={"every": ["email"]}, holdout="50%")
    assert "| held out | kept from this campaign |" in simulated(town, half).markdown()


def test_over_several_runs_a_person_counts_once_in_each_row(town):
    town.to("04 20:00")
    town.go(PLAIN)
    town.to("05 01:00")
    found = simulate(
        town.desk, campaign=PLAIN, since=SINCE, until=moment("05 01:00"), now=town.clock()
    )
    assert not found.differs
    rows = {(one["outcome"], one["reason"]): one for one in found.to_json()["reasons"]}
    nobody = rows["skipped", "no_consent"]
    assert (nobody["people"], nobody["decisions"]) == (10, 20)
    assert "| 10 | 20 |" in found.markdown()


NIGHTLY = campaign(
    "nightly",
    message="purchase_offer",
    channels={"every": ["in_app"]},
    audience={"attribute": "tier", "among": ["nobody"]},
    schedule={"at": "2026-03-04 18:00", "zone": "UTC"},
)


def test_a_refusal_that_the_record_has_too_is_no_difference(town):
    """The schedule came and the launch was refused: the simulation finds the same, and says so."""
    [at] = occurrences(NIGHTLY.schedule, after=SINCE, count=1)
    town.to("04 18:00")
    run = following.occur(town.desk, campaign=NIGHTLY, at=at, now=town.clock())
    assert run.status == "refused"
    town.to("05 00:00")
    again = simulated(town, NIGHTLY)
    assert (len(again.refused), again.exceeds({})) == (1, [])
    assert "The record says the same of this launch." in again.markdown()
    assert "Nothing went, and nothing would have gone." in again.markdown()


def test_a_period_without_a_launch_says_that_nothing_was_played(town):
    later = campaign("later", message="purchase_offer", channels={"every": ["in_app"]},
                     schedule={"at": "2026-03-20 18:00", "zone": "UTC"})  # fmt: skip
    found = simulated(town, later)
    assert found.launches == 0
    assert "Nothing was played: no launch of it is on record" in found.markdown()
    assert "Nothing was played" not in simulated(town, PLAIN).markdown()


def test_a_refusal_that_the_other_simulation_has_too_is_no_difference(town, tmp_path):
    first = simulated(town, NIGHTLY)
    assert first.exceeds({"added": "100%"}), "the record has no such refusal"
    assert "was not before" in first.markdown()
    first.write(tmp_path / "main.json")
    assert simulated(town, NIGHTLY, against=str(tmp_path / "main.json")).exceeds({}) == []


def test_in_parts_a_launch_is_refused_when_and_as_it_is_for_everybody_together(town):
    """On the first evening nobody is in the audience, then one person, who is all in one part."""
    evening = campaign("evening", message="purchase_offer", channels={"every": ["in_app"]},
                       audience={"did": "order.placed", "within": "12h"},
                       schedule={"cron": "0 18 * * *", "zone": "UTC"})  # fmt: skip
    [first] = occurrences(evening.schedule, after=SINCE, count=1)
    town.to("04 18:00")
    run = following.occur(town.desk, campaign=evening, at=first, now=town.clock())
    for day, part in (("05", 0), ("06", 1)):
        town.to(f"{day} 12:00")
        town.signal("order.placed", user_id=somebody(town, part=part), order_id=f"P-{day}")
    town.to("07 00:00")
    cast = Cast(campaigns={"evening": evening}, launched={"evening"})
    whole, parted = (
        played(town.desk, cast=cast, since=SINCE, until=moment("07 00:00"), processes=processes)
        for processes in (1, 2)
    )
    same(parted.outcome, whole.outcome)
    assert len(whole.outcome.sendings) == 2
    assert parted.refused == whole.refused
    [refused] = parted.refused
    assert refused.occurrence == run.occurrence
    assert refused.why in run.reason, "in the words of the record"


def somebody(town, *, part):
    """Name somebody who said yes and is played in this part of two."""
    with town.database.reading() as session:
        found = session.execute(
            select(ContactPoint.address, ContactPoint.customer_id).where(
                ContactPoint.channel == "email"
            )
        )
        theirs = {address.partition("@")[0]: int(id_[-1], 16) % 2 for address, id_ in found}
    return next(f"u{n}" for n in range(30) if n % 3 and theirs[f"u{n}"] == part)


def test_a_check_passes_within_its_limits_and_fails_above_them(town):
    found = simulated(town, campaign(channels={"every": ["email", "in_app"]}))
    assert found.exceeds({"added": "100%"}) == []
    assert found.exceeds({"added": "20"}) == []
    [why] = found.exceeds({"added": "5%", "dropped": "0"})
    assert "20 messages are added, more than 5%" in why
    assert found.exceeds({}), "without limits, any difference is one too many"
    with pytest.raises(BadInputError, match="no limit"):
        found.exceeds({"added": "few"})


def test_a_simulation_is_kept_in_a_file_that_another_one_is_compared_with(town, tmp_path):
    first = simulated(town, PLAIN)
    first.write(tmp_path / "kept" / "main.json")
    again = simulated(town, PLAIN, against=str(tmp_path / "kept" / "main.json"))
    assert not again.differs
    assert "example.com" not in (tmp_path / "kept" / "main.json").read_text()
    live = simulated(town, campaign(channels={"every": ["in_app"]}), against="live")
    assert (len(live.diff.added), len(live.diff.dropped)) == (20, 20)
    with pytest.raises(NotFoundError, match="no simulation"):
        simulated(town, PLAIN, against=str(tmp_path / "nothing.json"))


def test_a_campaign_that_was_never_launched_is_played_by_its_schedule_at_its_pace(town):
    new = campaign(
        "new", message="purchase_offer", channels={"every": ["in_app"]}, pace={"in_app": "1/s"},
        schedule={"at": "2026-03-04 12:00", "zone": "UTC"},
    )  # fmt: skip
    moments = sorted(one.at for one in simulated(town, new).outcome.sendings)
    assert (moments[0], len(moments)) == (moment("04 12:00"), 20)
    assert moments[-1] - moments[0] >= timedelta(seconds=19)
    over = campaign("over", schedule={"at": "2026-03-04 12:00", "zone": "UTC"},
                    promotion={**PLAIN.definition["promotion"], "ends": "2026-03-04 11:00"})  # fmt: skip
    found = simulated(town, over)
    assert "ends at" in str(found.refused[0])
    assert not found.outcome.sendings
    assert "Refused" in found.markdown()
