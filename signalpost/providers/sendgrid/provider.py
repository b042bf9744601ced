"""Hands email to SendGrid, up to 1,000 people a request, through the official SDK."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from signalpost.domain.delivery import Handover, Outgoing, withheld
from signalpost.domain.text import fill
from signalpost.domain.vocabulary import Channel, DeliveryStatus, FaultClass
from signalpost.providers.sendgrid import payload
from signalpost.providers.sendgrid.client import MailSend, Next, Outcome, not_connected, unknown
from signalpost.providers.sendgrid.payload import Person
from signalpost.providers.sendgrid.settings import SendGridSettings

_REFUSALS: Mapping[str, str] = {
    "bad_address": "The email address is not valid.",
    "missing_slot": "A value for the text was missing.",
    "empty_subject": "The subject was empty.",
    "line_break_in_subject": "The subject held a line break.",
    "bad_unsubscribe_url": "The unsubscribe link held a space or a bracket.",
}


class SendGrid:
    """Email by SendGrid's ``mail/send``. ``Outgoing.valid_for`` has no counterpart there."""

    name = "sendgrid"
    channels = frozenset({Channel.EMAIL})
    max_batch = 1000

    def __init__(self, settings: SendGridSettings) -> None:
        self._settings = settings
        self._mail_send = MailSend(settings)
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="sendgrid")

    async def hand_over(self, batch: Sequence[Outgoing]) -> list[Handover]:
        """Send the batch; one ``Handover`` each, same order. One bad person never harms the rest."""
        settled: dict[str, Handover] = {}
        sendable: list[tuple[Outgoing, str]] = []
        shapes: dict[str, payload.Shape] = {}
        for out in batch:
            shape = shapes.get(out.variant_id)
            if shape is None:
                shape = shapes[out.variant_id] = payload.Shape.of(out.parts)
            address = payload.address_of(out)
            if refused := self._refuse(out, address, shape):
                settled[out.delivery_id] = refused
            elif address is not None:
                sendable.append((out, address))
        for result in await asyncio.gather(*[self._send(*r) for r in _requests(sendable)]):
            for handover in result:
                settled[handover.delivery_id] = handover
        return [settled[out.delivery_id] for out in batch]

    async def close(self) -> None:
        """Let the threads go; the SDK keeps no connection."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _send(self, text: Mapping[str, str], people: Sequence[Person]) -> list[Handover]:
        """Send one request; halve it while SendGrid refuses all for the sake of one."""
        body = payload.mail(text, people, self._settings)
        outcome = await self._post(
            body, may_leave=lambda: all(one.out.may_leave() for one in people)
        )
        if outcome is None:  # the others go without whoever may not
            going: list[Person] = []
            held: list[Handover] = []
            for one in people:
                if one.out.may_leave():
                    going.append(one)
                else:
                    held.append(withheld(one.out.delivery_id, self.name))
            return held + (await self._send(text, going) if going else [])
        if outcome.next is Next.SPLIT and len(people) > 1:
            middle = len(people) // 2
            left = await self._send(text, people[:middle])
            return left + await self._send(text, people[middle:])
        return [self._settle(person.out, outcome) for person in people]

    async def _post(self, body: dict[str, Any], *, may_leave: Callable[[], bool]) -> Outcome | None:
        """Make the call in a thread: the SDK waits, and its timeout restarts with every byte.

        None: when its turn came it was not to leave any more.
        """
        call = self._threads.submit(lambda: self._mail_send.post(body) if may_leave() else None)
        try:
            async with asyncio.timeout(self._settings.timeout.total_seconds()):
                return await asyncio.wrap_future(call)
        except TimeoutError:
            return not_connected() if call.cancel() else unknown("no answer in time")

    def _refuse(self, out: Outgoing, address: str | None, shape: payload.Shape) -> Handover | None:
        if out.sender not in self._settings.senders:
            return self._settle(
                out,
                Outcome(
                    status=DeliveryStatus.REJECTED,
                    fault=FaultClass.OURS,
                    code="no_sender",
                    detail=f"No from address is configured for the stream {out.sender!r}.",
                ),
            )
        why = "bad_address" if address is None else payload.refusal(out, shape)
        if why is None:
            return None
        return self._settle(
            out,
            Outcome(
                status=DeliveryStatus.REJECTED,
                fault=FaultClass.PERMANENT,
                code=why,
                detail=_REFUSALS[why],
                suppress="bad_address" if why == "bad_address" else None,
            ),
        )

    def _settle(self, out: Outgoing, outcome: Outcome) -> Handover:
        return Handover(
            delivery_id=out.delivery_id,
            status=outcome.status,
            provider=self.name,
            provider_id=outcome.provider_id,
            fault=outcome.fault,
            code=outcome.code,
            detail=outcome.detail,
            retry_after=outcome.retry_after,
            suppress=outcome.suppress,
            whole_account=outcome.whole_account,
        )


def _requests(
    batch: Sequence[tuple[Outgoing, str]],
) -> Iterator[tuple[Mapping[str, str], list[Person]]]:
    """Yield the requests that carry a batch, each as its text and its people.

    One for all who share a text; a second for an address that comes twice, since SendGrid refuses
    it; one of their own, with the full text, for people whose words are over the limit.
    """
    groups = defaultdict(list)
    for out, address in batch:
        groups[out.variant_id, out.sender, out.purpose, out.message].append((out, address))
    for group in groups.values():
        first = group[0][0]
        said = ["\n".join(out.slots.values()) for out, _ in group]
        tags = payload.Tags([*_static(first), *said])
        text = fill(first.parts, tags)
        fitting = payload.surely_fit(tags)
        rounds: list[dict[str, Person]] = []
        for (out, address), letters in zip(group, said, strict=True):
            words = payload.substitutions(tags, out.slots)
            if len(letters) > fitting and payload.too_large(words):
                yield fill(out.parts, out.slots), [Person(out, address, {})]
                continue
            key = address.lower()
            for free in rounds:
                if key not in free:
                    break
            else:
                rounds.append(free := {})
            free[key] = Person(out, address, words)
        for people in rounds:
            yield text, list(people.values())


def _static(out: Outgoing) -> Iterator[str]:
    """The text that is the same for all: a tag must not be mistaken for it, nor for anybody's words."""
    for part in out.parts.values():
        yield from (piece for piece in part if isinstance(piece, str))
