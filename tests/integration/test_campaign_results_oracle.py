"""The report's figures against the same rules in plain Python, over random records on both databases."""

import random
from collections import defaultdict
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.results_harness import NOON, Book, sides

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
ARRIVED = ("handed_over", "deferred", "delivered")
OUTCOMES = [
    ("sent", "allowed"), ("sent", "allowed"), ("held_out", "campaign"), ("held_out", "global"),
    ("skipped", "no_consent"), ("set_aside", "refused:550"),
]  # fmt: skip
SIDE = {"campaign": "held out", "global": "house holdout"}


class World:
    """A random record, and what it should add up to."""

    def __init__(self, book, seed):
        self.book, chance = book, random.Random(seed)
        began = {}
        for day in chance.sample(range(3), 3):  # some are launched ahead of what begins before them
            began[day] = book.run(("spring", "spring", "summer")[day], at=NOON + day * DAY)
        self.runs = [began[day] for day in range(3)]
        self.campaign = dict(zip(self.runs, ("spring", "spring", "summer"), strict=True))
        self.people = [book.customer() for _ in range(10)]
        self.decided, self.messages, self.orders = [], [], []
        for day, run in enumerate(self.runs):
            for who in self.people:
                if chance.random() < 0.8:
                    self.decide(chance, run, who, NOON + day * DAY + chance.random() * DAY)
        self.order_all(chance)
        self.root = {one: one for one in self.people}
        for merged, into in zip(self.people[:2], self.people[2:4], strict=True):
            book.merge(merged, into)
            self.root[merged] = into

    def decide(self, chance, run, who, at):
        outcome, reason = chance.choice(OUTCOMES)
        self.book.decided(run, outcome, reason, who=who, at=at, mail=False)
        self.decided.append((run, who, outcome, reason, at))
        if outcome == "sent":
            status = chance.choice([*ARRIVED, "bounced", "unknown"])
            channel = chance.choice(["email", "sms"])
            self.book.message(run, who, at=at, status=status, channel=channel)
            self.messages.append((run, who, at, status, channel))

    def order_all(self, chance):
        for number in range(40):
            who, at = chance.choice(self.people), NOON + (chance.random() * 16 - 3) * DAY
            cents, key = chance.randrange(10_000), f"{who}-{number // 2 * 2}"
            currency = chance.choice(["USD", "USD", "EUR"])
            self.book.order(who, f"{cents / 100:.2f}", currency, at=at, order_id=key)
            self.orders.append((at, who, key, cents, currency))

    def bought(self):
        first = {}
        for at, who, key, cents, currency in sorted(self.orders):
            first.setdefault((who, key), (self.root[who], at, cents, currency))
        return list(first.values())

    def entered(self, campaign):
        """Root → run, side and moment of their first passing; over all runs of the campaign."""
        found = {}
        for run, who, outcome, reason, at in sorted(self.decided, key=lambda d: (d[4], d[0], d[1])):
            if self.campaign[run] == campaign and outcome != "skipped":
                found.setdefault(self.root[who], (run, SIDE.get(reason, "treated"), at))
        return found

    def sides(self, campaign, run=None):
        found: Any = defaultdict(lambda: [0, set(), 0, defaultdict(int)])
        for root, (came_with, side, at) in self.entered(campaign).items():
            if run not in (None, came_with):
                continue
            found[side][0] += 1
            for who, when, cents, currency in self.bought():
                if who == root and at < when <= at + WEEK:
                    found[side][1].add(root)
                    found[side][2] += 1
                    found[side][3][currency] += cents
        return {side: (n, len(who), orders, dict(m)) for side, (n, who, orders, m) in found.items()}

    def owed(self):
        """Run → channel → orders and money, each order to the last message of all that arrived."""
        found: Any = defaultdict(lambda: [0, defaultdict(int)])
        for who, when, cents, currency in self.bought():
            before = [
                (at, run, channel)
                for run, customer, at, status, channel in self.messages
                if self.root[customer] == who and status in ARRIVED and at < when <= at + WEEK
            ]
            if before:
                _, run, channel = max(before)
                found[run, channel][0] += 1
                found[run, channel][1][currency] += cents
        return {key: (orders, dict(money)) for key, (orders, money) in found.items()}


@pytest.mark.parametrize("seed", range(4))
def test_every_figure_is_what_the_rules_say(database, seed):
    world = World(Book(database), seed)
    empty = (0, 0, 0, {})
    told = {}
    for run in world.runs:
        found = world.book.results(run, days=40)
        assert {n: s for n, s in sides(found).items() if s != empty} == world.sides(
            world.campaign[run], run
        )
        for row in found.channels:
            if row.owed.orders:
                told[run, row.channel] = (row.owed.orders, dict(row.owed.revenue))
    assert told == world.owed()
    whole = world.book.whole("spring", days=40)
    assert {n: s for n, s in sides(whole).items() if s != empty} == world.sides("spring")
