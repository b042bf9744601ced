"""A cart that was left: one reminder that knows the cart, and the question nobody answered.

Sources: SC-01 (the failure to avoid: "the agent knows nothing about the items in your cart and asks
you to explain everything again"), R-56, R-57.
"""

from prefect import flow

from flows.batch import NO_RESULTS, advance_batch
from signalpost.domain.conditions import fact
from signalpost.domain.journey import (
    EMAIL,
    IN_APP,
    SMS,
    Branch,
    Exit,
    ExitOn,
    HandOff,
    Journey,
    Recall,
    Send,
    Wait,
    days,
    every,
    preferred,
)
from signalpost.domain.vocabulary import Lane

BOUGHT = "order.placed"

ABANDONED_CART = Journey(
    name="abandoned-cart",
    lane=Lane.MARKETING,
    # Most carts are left at the checkout: going there is one more sign of life, and buys nothing yet.
    starts_on=("cart.updated", "checkout.started"),
    reentry="anew",  # every change starts the hour again; a customer has one reminder, not one a cart
    exits_on=[ExitOn(BOUGHT)],
    steps=[
        Wait(hours=1),
        Recall("cart", within=days(7)),
        Branch(fact("pieces") > 0, then=[], otherwise=[Exit("the cart is empty")]),
        Recall("open_question", within=days(1)),
        # To answer what somebody asked is service, and waits for nobody's consent to marketing.
        Branch(
            fact("open_questions") > 0,
            then=[
                HandOff(
                    "cart",
                    team="sales",
                    reason="a question about a cart was left open",
                    facts=("question", "items", "total"),
                )
            ],
        ),
        # An order that was reported late, or out of turn, makes the reminder pointless.
        Send("cart_reminder", via=every(preferred(EMAIL, SMS), IN_APP), unless=BOUGHT),
    ],
)


@flow(name=ABANDONED_CART.name, **NO_RESULTS)
async def abandoned_cart(claim_id: str | None = None) -> None:
    """Remind customers of the carts that they left, and hand open questions to an agent.

    Advances the customers of a claim; without one, everybody who is due in this journey.
    """
    await advance_batch(ABANDONED_CART, claim_id)
