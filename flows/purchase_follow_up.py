"""After a purchase: confirm it, thank and ask three days later, and make one offer.

Sources: SC-02 (early access for VIPs), SC-08 (the same promotion on every channel), R-33, R-37, R-40.
"""

from prefect import flow

from flows.batch import NO_RESULTS, advance_batch
from signalpost.domain.conditions import answer, attribute
from signalpost.domain.journey import (
    EMAIL,
    IN_APP,
    SMS,
    Ask,
    Branch,
    ExitOn,
    HandOff,
    Issue,
    Journey,
    Send,
    Wait,
    WaitForAnswer,
    days,
    every,
    preferred,
)
from signalpost.domain.vocabulary import Lane

PURCHASE_FOLLOW_UP = Journey(
    name="purchase-follow-up",
    lane=Lane.SERVICE,
    starts_on="order.placed",
    key="order_id",
    exits_on=[
        ExitOn("order.cancelled"),
        ExitOn("order.returned"),
        ExitOn("promotion.redeemed", match={"code": "code"}, reason="redeemed"),
        ExitOn("promotion.redeemed", match={"promotion_id": "promotion_id"}, reason="redeemed"),
        ExitOn("order.placed", match={"coupon": "code"}, reason="redeemed"),
    ],
    steps=[
        Send("order_confirmation", via=every(EMAIL, IN_APP)),
        Wait(days=3),
        Ask("purchase_thanks", via=preferred(EMAIL, SMS, IN_APP), question="product"),
        # Both offers are marketing: without consent the gate says so, channel by channel.
        Branch(
            attribute("tier") == "vip",
            then=[
                Issue("early", percent=20, valid=days(14)),
                Send("early_bird", via=every(SMS, EMAIL, IN_APP)),
            ],
            otherwise=[
                Issue("thanks", percent=10, valid=days(14)),
                Send("purchase_offer", via=every(EMAIL, IN_APP)),
            ],
        ),
        WaitForAnswer("product", within=days(7)),
        Branch(
            answer("product") <= 2,
            then=[HandOff("service", team="service", reason="low score for a product")],
        ),
        Wait(days=7),  # the offer is open: redeeming it leaves the journey and withdraws the rest
    ],
)


@flow(name=PURCHASE_FOLLOW_UP.name, **NO_RESULTS)
async def purchase_follow_up(claim_id: str | None = None) -> None:
    """Confirm purchases, ask about the product, make one offer.

    Advances the customers of a claim; without one, everybody who is due in this journey.
    """
    await advance_batch(PURCHASE_FOLLOW_UP, claim_id)
