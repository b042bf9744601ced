"""Accounts behind circuits, against real post offices and a real record."""

import asyncio
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta

import pytest

from signalpost.domain.delivery import Letter
from signalpost.domain.retrying import MOST_TRIES, wait
from signalpost.domain.text import Slot
from signalpost.domain.vocabulary import Channel, DeliveryStatus, FaultClass, Purpose
from signalpost.providers.twilio import Twilio, TwilioSettings
from signalpost.record import provider_accounts
from signalpost.services.ways_out.accounts import Account, WayOut
from signalpost.services.ways_out.circuits import Circuits
from signalpost.services.ways_out.stopping import Stopping
from signalpost.testing import Post, VirtualClock
from tests.integration.postoffice_harness import ACCOUNT, OURS, TOKEN, http, open_office, until
from tests.postoffice_log import read_log


class House:
    """One or two Twilio accounts, each a post office of its own, and the way out that joins them."""

    def __init__(self, stack, folder, database, *, accounts=1, key=TOKEN, **options):
        self.database, self.clock, self.key = database, VirtualClock(), key
        self.folders = [folder / f"office{n}" for n in range(accounts)]
        for one in self.folders:
            one.mkdir()
        self.offices = [stack.enter_context(open_office(one)) for one in self.folders]
        self.options = options
        self.stopping = Stopping()
        self.way = self.process()

    def process(self, key=None):
        """A process of its own: what it knows it has from the record."""
        names = ("twilio", "twilio-second")
        keys = (key or self.key, TOKEN)
        accounts = [
            Account(
                name=name,
                provider=Twilio(
                    TwilioSettings(
                        account_sid=ACCOUNT, api_key=ACCOUNT, api_secret=secret,
                        base_url=office.url, sender=OURS, timeout=timedelta(seconds=30),
                    )
                ),
                channels=frozenset({Channel.SMS}),
                at_risk=20,
            )
            for name, secret, office in zip(names, keys, self.offices, strict=False)
        ]  # fmt: skip
        circuits = Circuits(self.database, clock=self.clock)
        return WayOut(
            accounts, circuits=circuits, clock=self.clock, stopping=self.stopping, **self.options
        )

    def send(self, count=1, *, way=None, first=0, **changes):
        way = way or self.way

        async def run():
            try:
                return await way.hand_over(text(**changes), sms(first, count))
            finally:
                await way.close()

        return asyncio.run(run())

    def wish(self, fault, *, times=10_000, office=0, **more):
        wish = {"provider": "twilio", "fault": fault, "times": times, **more}
        http.post(f"{self.offices[office].url}/postoffice/faults", json=wish).raise_for_status()

    def mend(self, office=0):
        http.delete(f"{self.offices[office].url}/postoffice/faults").raise_for_status()

    def bodies(self, office=0):
        """The texts that a post office took."""
        log = read_log(self.folders[office] / "postoffice.jsonl")
        return [entry["body"] for entry in log if entry["kind"] == "sms.accepted"]

    def standing(self, account="twilio"):
        with self.database.reading() as session:
            return provider_accounts.standings(session).get(account)


def text(**changes):
    values = {"channel": Channel.SMS, "message": "offer", "purpose": Purpose.TRANSACTIONAL}
    return Letter(parts={"text": ("text ", Slot("n"))}, **(values | changes))


def sms(first, count):
    return [
        Post(
            delivery_id=f"d{n}", message_id=f"m{n}", customer_id=f"c{n}",
            address=f"+1415555{n:04d}", slots={"n": str(n)},
        )
        for n in range(first, first + count)
    ]  # fmt: skip


@pytest.fixture
def house(tmp_path, database):
    with ExitStack() as stack:
        yield lambda **options: House(stack, tmp_path, database, **options)


def statuses(answers):
    return Counter(one.status for one in answers)


def test_a_wrong_key_opens_the_circuit_and_all_but_the_first_few_are_held_untried(house):
    """F14: nobody is burnt, the reason is in words, and another process heeds it at once."""
    here = house(key="wrong")
    answers = here.send(200)
    assert {one.fault for one in answers} == {FaultClass.OURS}
    assert sum(one.tried for one in answers) == 20
    held = [one for one in answers if not one.tried]
    assert {(one.status, one.code) for one in held} == {(DeliveryStatus.RETRY, "circuit_open")}
    assert "Twilio did not accept our credentials." in held[0].detail
    circuit = here.standing().circuit
    assert circuit.ours
    other = here.send(5, way=here.process(key=TOKEN))
    assert not any(one.tried for one in other)
    assert here.bodies() == []


def test_one_message_asks_whether_it_works_again_and_then_all_go(house):
    here = house(key="wrong")
    here.send(30)
    here.clock.now += timedelta(seconds=6)
    answers = here.send(30, way=here.process(key=TOKEN))
    assert statuses(answers) == {DeliveryStatus.ACCEPTED: 30}
    assert not here.standing().circuit.is_open
    assert len(set(here.bodies())) == 30


def test_of_several_processes_only_one_asks(house):
    here = house(key="wrong")
    here.send(1)
    here.clock.now += timedelta(seconds=6)
    asked = [sum(one.tried for one in here.send(4, way=here.process())) for _ in range(3)]
    assert asked == [1, 0, 0]


def test_while_everything_is_put_off_requests_stay_few_and_all_go_once_at_the_end(house):
    """F10: ten minutes of 429; what is held costs nobody a try, and the waits differ."""
    here = house()
    here.wish("429")
    tried = Counter()
    waiting = dict.fromkeys(range(100), here.clock.now)
    end = here.clock.now + timedelta(minutes=10)
    waits = set()
    while here.clock.now < end:
        for n in [n for n, due in waiting.items() if due <= here.clock.now][:40]:
            [answer] = here.send(1, first=n)
            tried[n] += answer.tried
            pause = answer.retry_after or wait(tries=tried[n], seed=f"m{n}")
            waits.add(pause)
            waiting[n] = here.clock.now + pause
        here.clock.now += timedelta(seconds=15)
    assert sum(tried.values()) < 80
    assert max(tried.values()) <= MOST_TRIES
    assert len(waits) > 50
    here.mend()
    here.clock.now += timedelta(seconds=31)
    assert statuses(here.send(100)) == {DeliveryStatus.ACCEPTED: 100}
    assert len(here.bodies()) == len(set(here.bodies())) == 100


def test_a_retry_after_holds_the_whole_account_for_that_long(house):
    here = house()
    here.wish("429", retry_after=120)
    answers = here.send(40)
    assert all(one.retry_after >= timedelta(seconds=120) for one in answers)
    here.mend()
    here.clock.now += timedelta(seconds=119)
    assert not any(one.tried for one in here.send(3))
    here.clock.now += timedelta(seconds=2)
    assert statuses(here.send(3)) == {DeliveryStatus.ACCEPTED: 3}


def test_a_provider_that_falls_silent_makes_a_few_unknown_and_not_the_whole_list(house):
    """Nobody knows about twenty; the other 180 wait and are sent once it answers."""
    here = house()
    here.wish("500_not_processed")
    answers = here.send(200)
    assert statuses(answers) == {DeliveryStatus.UNKNOWN: 20, DeliveryStatus.RETRY: 180}
    assert {one.fault for one in answers if one.status is DeliveryStatus.RETRY} == {
        FaultClass.TRANSIENT
    }


def test_an_alert_is_not_held_back_by_a_circuit(house):
    here = house(key="wrong")
    here.send(1)
    [answer] = here.send(1, way=here.process(key=TOKEN), purpose=Purpose.SECURITY)
    assert answer.status is DeliveryStatus.ACCEPTED
    assert not here.standing().circuit.is_open


def test_what_the_first_account_refused_goes_by_the_second_and_names_it(house):
    """Also those for whom nothing was asked, since the first account's circuit was open by then."""
    here = house(accounts=2, key="wrong")
    answers = here.send(50)
    assert statuses(answers) == {DeliveryStatus.ACCEPTED: 50}
    assert {one.account for one in answers} == {"twilio-second"}
    assert (len(here.bodies(0)), len(set(here.bodies(1)))) == (0, 50)
    here.send(5, first=50)
    assert len(here.bodies(1)) == 55


def test_what_the_first_account_put_off_goes_by_the_second_once(house):
    here = house(accounts=2)
    here.wish("429", times=3)
    answers = here.send(10)
    assert statuses(answers) == {DeliveryStatus.ACCEPTED: 10}
    assert Counter(one.account for one in answers) == {"twilio": 7, "twilio-second": 3}
    assert len({*here.bodies(0), *here.bodies(1)}) == len(here.bodies(0) + here.bodies(1)) == 10


@pytest.mark.parametrize("fault", ["500_processed", "500_not_processed", "reset"])
def test_what_nobody_knows_the_fate_of_never_goes_by_the_second(house, fault):
    here = house(accounts=2)
    here.wish(fault, times=4)
    answers = here.send(8)
    assert statuses(answers) == {DeliveryStatus.UNKNOWN: 4, DeliveryStatus.ACCEPTED: 4}
    assert here.bodies(1) == []


def test_whoever_said_stop_to_one_account_gets_nothing_by_the_other(house):
    here = house(accounts=2)
    here.wish("400", code=21610)
    [answer] = here.send(1)
    assert (answer.status, answer.suppress) == (DeliveryStatus.REJECTED, "stop")
    assert here.bodies(1) == []


def test_of_two_that_refuse_the_one_that_may_take_it_sooner_decides(house):
    """The first is wrongly set up, the second busy: wait for it, rather than call it our fault."""
    here = house(accounts=2, key="wrong")
    here.wish("429", office=1, retry_after=7)
    [answer] = here.send(1)
    assert (answer.status, answer.fault) == (DeliveryStatus.RETRY, FaultClass.TRANSIENT)
    assert answer.tried


def test_an_account_that_delivers_slowly_comes_second_when_that_is_wanted(house):
    here = house(accounts=2, quicker_first=True)
    with here.database.writing() as session:
        provider_accounts.note_speed(
            session, account="twilio", slow_since=here.clock(), share=0.5, now=here.clock()
        )
    assert [one.account for one in here.send(2)] == ["twilio-second"] * 2


def test_a_filtered_sender_keeps_marketing_back_and_nothing_else(house):
    from signalpost.domain.circuit import Circuit

    here = house()
    circuit = Circuit(
        account="twilio", opened_at=here.clock(), ours=True, marketing_only=True,
        code="30007", reason="Carriers filter a third of the messages.",
    )  # fmt: skip
    with here.database.writing() as session:
        provider_accounts.keep(session, circuit=circuit, now=here.clock())
    [offer] = here.send(1, purpose=Purpose.MARKETING)
    assert (offer.tried, offer.fault) == (False, FaultClass.OURS)
    [receipt] = here.send(1, first=1, purpose=Purpose.TRANSACTIONAL)
    assert receipt.status is DeliveryStatus.ACCEPTED
    assert here.standing().circuit.is_open


def test_each_answer_stands_in_the_place_of_its_message_whichever_account_took_it(house):
    """An answer carries no id of ours: out of place, somebody else's message would be settled by it."""
    here = house(accounts=2)
    here.wish("429", times=5)
    answers = here.send(20)
    took = {"twilio": here.bodies(0), "twilio-second": here.bodies(1)}
    assert len(took["twilio-second"]) == 5
    assert [f"text {n}" in took[answer.account] for n, answer in enumerate(answers)] == [True] * 20


def test_a_worker_that_stops_hands_back_what_it_has_not_begun(house):
    """What is on its way is waited for; a second call leaves it behind as unknown, never as unsent."""
    here = house()
    here.wish("timeout_processed", times=20)

    async def run(*, hasten):
        sending = asyncio.ensure_future(here.way.hand_over(text(), sms(0, 60)))
        await asyncio.to_thread(until, lambda: len(here.bodies()) == 20)
        here.stopping.begin()
        if hasten:
            here.stopping.hasten()
        answers = await sending
        await here.way.close()
        return answers

    answers = asyncio.run(run(hasten=True))
    assert statuses(answers) == {DeliveryStatus.UNKNOWN: 20, DeliveryStatus.RETRY: 40}
    undone = [one for one in answers if one.status is DeliveryStatus.RETRY]
    assert {(one.code, one.tried) for one in undone} == {("worker_stops", False)}
