"""Hands email to SendGrid, up to 1,000 people a request, through the official SDK."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from signalpost.domain.delivery import Handover, Letter, Outgoing, withheld
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
    """Email by SendGrid's ``mail/send``. ``Letter.valid_for`` has no counterpart there."""

    name = "sendgrid"
    channels = frozenset({Channel.EMAIL})
    max_batch = 1000

    def __init__(self, settings: SendGridSettings) -> None:
        self._settings = settings
        self._mail_send = MailSend(settings)
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="sendgrid")

    async def hand_over(self, letter: Letter, batch: Sequence[Outgoing]) -> list[Handover]:
        """Send a letter; one ``Handover`` each, same order. One bad person never harms the rest."""
        if letter.purpose not in self._settings.senders:
            return [self._no_sender(letter)] * len(batch)
        shape = payload.Shape.of(letter.parts)
        answers: dict[int, Handover] = {}
        sendable: list[Addressed] = []
        for place, out in enumerate(batch):
            address = payload.address_of(out.address)
            if address is None:
                answers[place] = self._refused("bad_address")
            elif (why := payload.refusal(out, shape)) is not None:
                answers[place] = self._refused(why)
            else:
                sendable.append((place, out, address))
        sent = [self._send(letter, *request) for request in _requests(letter, sendable)]
        for ended in await asyncio.gather(*sent):
            answers.update(ended)
        return [answers[place] for place in range(len(batch))]

    async def close(self) -> None:
        """Let the threads go; the SDK keeps no connection."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _send(
        self, letter: Letter, text: Mapping[str, str], people: Sequence[Person]
    ) -> dict[int, Handover]:
        """Send one request; halve it while SendGrid refuses all for the sake of one.

        Gives how it ended, by each one's place in the batch.
        """
        body = payload.mail(letter, text, people, self._settings)
        attempts = [one.attempt for one in people]
        outcome = await self._post(body, may_leave=lambda: not letter.kept_back(attempts))
        if outcome is None:  # the others go without whoever may not
            kept_back = frozenset(letter.kept_back(attempts))
            return await self._send_others(letter, text, people, kept_back)
        if outcome.next is Next.SPLIT and len(people) > 1:
            middle = len(people) // 2
            left = await self._send(letter, text, people[:middle])
            return left | await self._send(letter, text, people[middle:])
        return dict.fromkeys([one.place for one in people], self._settled(outcome))

    async def _send_others(
        self,
        letter: Letter,
        text: Mapping[str, str],
        people: Sequence[Person],
        kept_back: frozenset[str],
    ) -> dict[int, Handover]:
        held = [one.place for one in people if one.attempt in kept_back]
        going = [one for one in people if one.attempt not in kept_back]
        ended = dict.fromkeys(held, withheld(self.name))
        return ended | (await self._send(letter, text, going) if going else {})

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

    def _no_sender(self, letter: Letter) -> Handover:
        return self._settled(
            Outcome(
                status=DeliveryStatus.REJECTED,
                fault=FaultClass.OURS,
                code="no_sender",
                detail=f"No from address is configured for the stream {letter.purpose!s}.",
            )
        )

    def _refused(self, why: str) -> Handover:
        return self._settled(
            Outcome(
                status=DeliveryStatus.REJECTED,
                fault=FaultClass.PERMANENT,
                code=why,
                detail=_REFUSALS[why],
                suppress="bad_address" if why == "bad_address" else None,
            ),
        )

    def _settled(self, outcome: Outcome) -> Handover:
        return Handover(
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


#: A message by its place in the batch, with the address as SendGrid takes it.
Addressed = tuple[int, Outgoing, str]


def _requests(
    letter: Letter, batch: Sequence[Addressed]
) -> Iterator[tuple[Mapping[str, str], list[Person]]]:
    """Yield the requests that carry a batch, each as its text and its people.

    One for all; a second for an address that comes twice, since SendGrid refuses it; one of their own,
    with the full text, for people whose words are over the limit.
    """
    said = ["\n".join(out.slots.values()) for _, out, _ in batch]
    tags = payload.Tags([*_static(letter), *said])
    text = fill(letter.parts, tags)
    fitting = payload.surely_fit(tags)
    people: list[Person] = []
    for (place, out, address), letters in zip(batch, said, strict=True):
        words = payload.substitutions(tags, out.slots)
        if len(letters) > fitting and payload.too_large(words):
            yield fill(letter.parts, out.slots), [payload.person(place, out, address, {})]
        else:
            people.append(payload.person(place, out, address, words))
    for some in _each_address_once(people):
        yield text, some


def _each_address_once(people: list[Person]) -> Iterable[list[Person]]:
    if len({one.address for one in people}) == len(people):
        return [people] if people else []
    rounds: list[dict[str, Person]] = []
    for one in people:
        free = next((some for some in rounds if one.address not in some), None)
        if free is None:
            rounds.append(free := {})
        free[one.address] = one
    return [list(some.values()) for some in rounds]


def _static(letter: Letter) -> Iterator[str]:
    """The text that is the same for all: a tag must not be mistaken for it, nor for anybody's words."""
    for part in letter.parts.values():
        yield from (piece for piece in part if isinstance(piece, str))
