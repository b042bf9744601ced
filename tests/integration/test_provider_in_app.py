"""The in-app provider."""

import asyncio

from signalpost.domain.delivery import Letter
from signalpost.domain.vocabulary import Channel, DeliveryStatus, Purpose
from signalpost.providers.in_app import InApp
from signalpost.testing import Post

LETTER = Letter(
    channel=Channel.IN_APP,
    message="pickup_ready",
    purpose=Purpose.TRANSACTIONAL,
    parts={"title": ("Hello",)},
)


def post(number: int, customer: str) -> Post:
    return Post(
        delivery_id=f"d{number}", message_id=f"m{number}", customer_id=customer, address=customer
    )


def test_a_message_is_accepted_at_once_and_each_customer_is_told_once():
    told = []
    batch = [post(1, "ann"), post(2, "ben"), post(3, "ann")]
    results = asyncio.run(InApp(told.append).hand_over(LETTER, batch))
    assert [(r.status, r.provider_id) for r in results] == [
        (DeliveryStatus.ACCEPTED, f"m{n}") for n in (1, 2, 3)
    ]
    assert told == [["ann", "ben"]]


def test_nobody_has_to_listen():
    (result,) = asyncio.run(InApp().hand_over(LETTER, [post(1, "ann")]))
    assert result.status is DeliveryStatus.ACCEPTED
