"""The story: eleven days of a shop, with people to whom something happens.

Steve's early-bird offer is SC-02, Ann's pickup SC-07, Jane's fraud alert SC-05 of the articles that
this product is made after. In the night to 8 March 2026 the clocks go forward in the United States.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from signalpost.demo import world
from signalpost.demo.crowd import Crowd
from signalpost.demo.director import Act, Beat, Director
from signalpost.demo.marketing import CAMPAIGN, HEAD, MARKETER
from signalpost.demo.people import (
    ANN,
    BEN,
    CAST,
    JANE,
    MEI,
    NADIA,
    OLGA,
    SOMCHAI,
    STEVE,
    TOM,
    Person,
)

FIRST_DAY = date(2026, 3, 2)  #: a Monday
DAYS = 10  #: of baskets
END = datetime(2026, 3, 12, 22, tzinfo=UTC)
GUEST_ORDER = "S-1009"
_LEAVER = 934  #: a household that agreed to marketing, and bought early in these days
_STORE = "Larkfield Maple Street"
FRAUD = {
    JANE.user_id: (
        "T-9001",
        "XYZ store",
        "1000.00",
        "Jane's bank sees a payment of $1,000 at XYZ store",
    ),
    OLGA.user_id: (
        "T-9002",
        "Volga Travel",
        "640.00",
        "Olga's bank sees a payment of $640 at Volga Travel",
    ),
    SOMCHAI.user_id: ("T-9003", "Gadget Hall", "899.00", "Somchai's bank sees a payment of $899"),
    MEI.user_id: ("T-9004", "Night Market Online", "420.00", "Mei's bank sees a payment of $420"),
}


def beats(crowd: Crowd) -> list[Beat]:
    """Give the moments of the story, in any order."""
    return [
        *_opening(crowd),
        *_early_bird(),
        *_pickups(),
        *_mishaps(),
        *_fraud(),
        *_campaign(crowd),
    ]


def leaver(crowd: Crowd) -> Person:
    """Say who will hear nothing more: somebody who agreed to marketing, and was sent an offer."""
    return next(one for one in crowd.members if one.household == _LEAVER)


def _on(person: Person, day: int, clock: str) -> datetime:
    """Give a moment of March 2026 by the clock where a person lives."""
    hour, minute, second = (int(part) for part in f"{clock}:00".split(":")[:3])
    return datetime(2026, 3, day, hour, minute, second, tzinfo=person.tz).astimezone(UTC)


def _opening(crowd: Crowd) -> list[Beat]:
    def introduce(director: Director) -> None:
        everybody = [*CAST, *crowd.members]
        events = [world.identify(person, at=director.now) for person in everybody]
        director.scene.shop.tell(events, now=director.now)

    at = datetime(2026, 3, 2, 7, tzinfo=UTC)
    return [Beat(at, f"The shop introduces {len(CAST) + len(crowd.members)} customers", introduce)]


# -- acts -----------------------------------------------------------------------------------------


def _tells(event: str, person: Person | None, *, at: datetime | None = None, **said: Any) -> Act:
    """The shop tells something; ``at``: when it happened, if not now."""

    def act(director: Director) -> None:
        moment = at or director.now
        name = event.replace(" ", "-").lower()
        message_id = f"{name}-{person.user_id if person else 'guest'}-{moment:%d%H%M%S}"
        told = world.track(event, said, message_id=message_id, at=moment, person=person)
        director.scene.shop.tell([told], now=director.now)

    return act


def _orders(
    person: Person | None, order_id: str, product: str, price: str, *, at: datetime | None = None
) -> Act:
    item = {"product_id": product.lower(), "name": product, "quantity": 1, "price": price}
    return _tells(
        "Order Completed", person, at=at,
        order_id=order_id, total=price, currency="USD", products=[item],
    )  # fmt: skip


def _is_ready(person: Person, order_id: str) -> Act:
    return _tells("Order Ready For Pickup", person, order_id=order_id, store=_STORE)


def _is_taken(person: Person, order_id: str) -> Act:
    return _tells("Order Picked Up", person, order_id=order_id, store=_STORE)


def _writes(person: Person, words: str) -> Act:
    return lambda director: director.scene.post.reply(person, words)


def _both(*acts: Act) -> Act:
    def act(director: Director) -> None:
        for one in acts:
            one(director)

    return act


def _signalled(person: Person) -> Act:
    """The risk system signals a payment that was made two minutes ago."""
    transaction, merchant, amount, _ = FRAUD[person.user_id]

    def act(director: Director) -> None:
        said: dict[str, Any] = {
            "transaction_id": transaction,
            "merchant": merchant,
            "amount": amount,
            "currency": "USD",
            "occurred_at": director.now.replace(second=0).isoformat(),
        }
        _tells("fraud.signalled", person, **said)(director)

    return act


# -- the strands ----------------------------------------------------------------------------------


def _early_bird() -> list[Beat]:
    def asks_for_agent(director: Director) -> None:
        director.scene.post.open_mail(STEVE)
        text = director.scene.post.texts_to(STEVE)[-1]
        world.follow(world.links_in(text)[0])

    def redeems(director: Director) -> None:
        sent = [one for one in director.scene.reading.timeline(STEVE) if one.kind == "message"]
        code = next(one.detail["facts"]["code"] for one in sent if "code" in one.detail["facts"])
        _tells("Coupon Applied", STEVE, coupon_name=code, order_id="S-1010")(director)

    return [
        Beat(
            _on(STEVE, 2, "09:30"),
            "Steve, a VIP in Seattle, buys a Harbour jacket",
            _orders(STEVE, "S-1001", "Harbour jacket", "189.00"),
        ),
        Beat(
            _on(STEVE, 5, "09:42"),
            "Steve opens the mail, and the personal link in the SMS: he wants his agent",
            asks_for_agent,
            STEVE,
        ),
        Beat(_on(STEVE, 6, "12:00"), "Steve redeems his early-bird code", redeems, STEVE),
    ]


def _pickups() -> list[Beat]:
    earlier = _on(TOM, 7, "10:30")
    return [
        Beat(
            _on(ANN, 6, "09:00"),
            "Ann in Chicago orders a floor lamp, to be picked up",
            _orders(ANN, "S-1002", "Floor lamp", "74.50"),
        ),
        Beat(_on(ANN, 7, "11:00"), "Ann's order is ready for pickup", _is_ready(ANN, "S-1002")),
        Beat(_on(ANN, 7, "16:30"), "Ann picks it up", _is_taken(ANN, "S-1002")),
        Beat(
            _on(ANN, 8, "10:12"),
            "Ann answers: 2, I waited half an hour",
            _writes(ANN, "2, I waited half an hour"),
        ),
        Beat(
            _on(TOM, 7, "11:00"),
            "A store reports that Tom's order was picked up; nobody has heard of that order yet",
            _tells("Order Picked Up", None, order_id="S-1003", store=_STORE),
        ),
        Beat(
            _on(TOM, 7, "13:00"),
            "Tom's order arrives late from the web shop, and then that it is ready",
            _both(
                _orders(TOM, "S-1003", "Bread oven", "129.00", at=earlier),
                _is_ready(TOM, "S-1003"),
            ),
        ),
        Beat(_on(TOM, 8, "10:05"), "Tom answers: 5", _writes(TOM, "5")),
        Beat(
            _on(MEI, 3, "12:00"),
            "Mei in Taipei orders a tea set",
            _orders(MEI, "S-1004", "Tea set", "58.00"),
        ),
        Beat(_on(MEI, 4, "10:00"), "Mei's order is ready for pickup", _is_ready(MEI, "S-1004")),
        Beat(_on(MEI, 4, "10:10"), "Mei answers: STOP", _writes(MEI, "STOP"), MEI),
        Beat(_on(MEI, 5, "18:00"), "Mei picks it up", _is_taken(MEI, "S-1004")),
    ]


def _mishaps() -> list[Beat]:
    return [
        Beat(
            _on(NADIA, 2, "18:00"),
            "Nadia in London, who wants no marketing, buys a rug",
            _orders(NADIA, "S-1005", "Wool rug", "240.00"),
        ),
        Beat(
            _on(BEN, 2, "13:10"),
            "Ben buys a desk; his email address does not exist",
            _orders(BEN, "S-1006", "Standing desk", "310.00"),
        ),
        Beat(
            _on(BEN, 2, "13:20"),
            "The shop's client heard no answer, and sends Ben's order again",
            lambda director: director.scene.shop.tell_again(now=director.now),
        ),
        Beat(
            datetime(2026, 3, 3, 15, tzinfo=UTC),
            "A guest buys something and leaves no name",
            _orders(None, GUEST_ORDER, "Umbrella", "19.90"),
        ),
        Beat(_on(BEN, 5, "13:30"), "Ben answers the question by SMS: 4", _writes(BEN, "4")),
    ]


def _fraud() -> list[Beat]:
    def denies(director: Director) -> None:
        code = world.answer_code(director.scene.post.texts_to(JANE))
        director.scene.post.reply(JANE, f"NO {code}")

    says = {user_id: words for user_id, (*_, words) in FRAUD.items()}
    return [
        Beat(_on(SOMCHAI, 10, "14:00"), says["somchai"], _signalled(SOMCHAI)),
        Beat(_on(MEI, 10, "17:00"), f"{says['mei']}; she had said STOP", _signalled(MEI)),
        Beat(
            _on(MEI, 10, "17:02"),
            "Mei answers in the app: yes, that was me",
            lambda director: director.scene.app.answer(MEI, "fraud_alert", "yes"),
        ),
        Beat(_on(JANE, 10, "10:12"), says["jane"], _signalled(JANE)),
        Beat(
            _on(JANE, 10, "10:12:30"),
            "The risk system signals the same payment again",
            _signalled(JANE),
        ),
        Beat(_on(JANE, 10, "10:13"), "Jane answers NO, with the code of the SMS", denies),
        Beat(_on(OLGA, 10, "11:00"), says["olga"], _signalled(OLGA)),
        Beat(_on(OLGA, 10, "11:01"), "Olga answers in her language: да", _writes(OLGA, "да")),
    ]


def _campaign(crowd: Crowd) -> list[Beat]:
    """Half past ten in New York, when it is half past seven in Los Angeles."""
    gone = leaver(crowd)

    def unsubscribes(director: Director) -> None:
        mails = director.scene.post.mails_to(gone)
        links = [link for mail in mails for link in world.links_in(mail["text"])]
        world.hear_nothing_more([one for one in links if "/links/preferences/" in one][-1])

    def launches(director: Director) -> None:
        plan = director.scene.marketing.launch(now=director.now)
        director.scene.teller.plan(plan)

    def nothing_yet(director: Director) -> None:
        """The tills report before the launch, so that the plan knows of all that the send knows."""

    at = datetime(2026, 3, 11, 14, 30, tzinfo=UTC)
    return [
        Beat(
            _on(gone, 9, "10:00"),
            f"{gone.called} follows the link in an offer, and wants to hear nothing more",
            unsubscribes,
        ),
        Beat(
            at - timedelta(minutes=30),
            f"{MARKETER} of marketing has written a campaign: 15% over the weekend",
            nothing_yet,
        ),
        Beat(at, f"{MARKETER} launches {CAMPAIGN}; its plan says", launches),
        Beat(
            at,
            f"{HEAD} reads the plan and approves it",
            lambda director: director.scene.marketing.approve(now=director.now),
        ),
    ]
