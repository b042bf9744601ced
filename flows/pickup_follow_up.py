"""From "ready for pickup" to the question of how it was.

Sources: SC-07 (the survey comes the day after the pickup), R-37, R-39, R-48, R-50.
"""

from datetime import time

from prefect import flow

from flows.batch import NO_RESULTS, advance_batch
from signalpost.domain.conditions import answer
from signalpost.domain.journey import (
    EMAIL,
    IN_APP,
    SMS,
    Ask,
    Branch,
    CloseCase,
    Exit,
    ExitOn,
    HandOff,
    Journey,
    Send,
    SetAttribute,
    Wait,
    WaitFor,
    days,
    every,
    first,
)
from signalpost.domain.vocabulary import Lane

PICKUP_FOLLOW_UP = Journey(
    name="pickup-follow-up",
    lane=Lane.SERVICE,
    starts_on="order.ready_for_pickup",
    key="order_id",
    exits_on=[ExitOn("order.cancelled"), ExitOn("order.returned")],
    steps=[
        # A pickup that was reported before this message could go makes it pointless.
        Send("pickup_ready", via=every(first(SMS, EMAIL), IN_APP), unless="order.picked_up"),
        WaitFor(
            "order.picked_up",
            within=days(3),
            otherwise=[
                Send("pickup_reminder", via=first(SMS, EMAIL, IN_APP)),
                WaitFor(
                    "order.picked_up",
                    within=days(4),
                    otherwise=[
                        Send("pickup_last_reminder", via=first(SMS, EMAIL, IN_APP)),
                        WaitFor(
                            "order.picked_up",
                            within=days(3),
                            otherwise=[
                                HandOff("store", team="store", reason="order was not picked up"),
                                WaitFor(
                                    "order.picked_up",
                                    within=days(30),
                                    otherwise=[Exit("never picked up")],
                                ),
                                CloseCase("store", outcome="picked_up"),
                            ],
                        ),
                    ],
                ),
            ],
        ),
        Wait(days=1, at=time(10), zone="customer"),
        Ask(
            "pickup_csat",
            via=first(SMS, EMAIL),
            within=days(2),
            otherwise=[Exit("no answer")],
        ),
        SetAttribute("last_csat", "answer:pickup_csat"),
        Branch(
            answer("pickup_csat") <= 2,
            then=[
                HandOff("service", team="service", reason="low score after a pickup"),
                Send("csat_sorry", via=first(SMS, EMAIL)),
            ],
            otherwise=[
                Branch(
                    answer("pickup_csat") == 5,
                    then=[Send("csat_thanks", via=first(SMS, EMAIL))],
                )
            ],
        ),
    ],
)


@flow(name=PICKUP_FOLLOW_UP.name, **NO_RESULTS)
async def pickup_follow_up(claim_id: str | None = None) -> None:
    """See customers through a pickup: ready, reminders, and how it was.

    Advances the customers of a claim; without one, everybody who is due in this journey.
    """
    await advance_batch(PICKUP_FOLLOW_UP, claim_id)
