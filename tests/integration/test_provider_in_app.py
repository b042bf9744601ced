"""The in-app provider."""

import asyncio

from signalpost.domain.delivery import Outgoing
from signalpost.domain.vocabulary import Channel, DeliveryStatus, Purpose
from signalpost.providers.in_app import InApp


def outgoing(number: int, customer: str) -> Outgoing:
    return Outgoing(
        delivery_id=f"d{number}",
        message_id=f"m{number}",
        customer_id=customer,
        channel=Channel.IN_APP,
        address=customer,
        variant_id="v1",
        parts={"title": ("Hello",)},
        slots={},
        message="pickup_ready",
        purpose=Purpose.TRANSACTIONAL,
        sender="transactional",
    )


def test_a_message_is_accepted_at_once_and_each_customer_is_told_once():
    told = []
    batch = [outgoing(1, "ann"), outgoing(2, "ben"), outgoing(3, "ann")]
    results = asyncio.run(InApp(told.append).hand_over(batch))
    assert [(r.delivery_id, r.status, r.provider_id) for r in results] == [
        (f"d{n}", DeliveryStatus.ACCEPTED, f"m{n}") for n in (1, 2, 3)
    ]
    assert told == [["ann", "ben"]]


def test_nobody_has_to_listen():
    (result,) = asyncio.run(InApp().hand_over([outgoing(1, "ann")]))
    assert result.status is DeliveryStatus.ACCEPTED
