"""The people of the demo. All of them are invented: the ones with a part in the story, and a made-up
person for each household of the data, always the same one for the same household.

Addresses end in ``example.com`` (RFC 2606). Phone numbers are of the ranges kept for fiction:
+1 … 555-0100 to 0199, and +44 7700 900000 to 900999.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

AGENTS = ("Maya Chen", "Daniel Okafor", "Priya Raman")

_FIRST = (
    "Alice", "Amara", "Bruno", "Carla", "Dmitri", "Elena", "Farid", "Grace", "Hiro", "Ines",
    "Jonas", "Kavya", "Leila", "Marco", "Noor", "Oscar", "Paula", "Quentin", "Rosa", "Samuel",
    "Tara", "Umar", "Vera", "Wanda", "Xenia", "Yusuf", "Zoe",
)  # fmt: skip
_LAST = (
    "Abbott", "Bianchi", "Castillo", "Dubois", "Eriksen", "Fischer", "Garcia", "Haddad", "Ito",
    "Jensen", "Kowalski", "Lindqvist", "Moreau", "Novak", "Okoye", "Pereira", "Quinn", "Rossi",
    "Silva", "Tanaka", "Usman", "Vargas", "Weber", "Young", "Zhang",
)  # fmt: skip
#: Where households live: zone, area code of the number, locale, and how many of them.
_PLACES = (
    ("America/New_York", "+1212", "en-US", 9),
    ("America/Chicago", "+1312", "en-US", 8),
    ("America/Denver", "+1303", "en-US", 4),
    ("America/Los_Angeles", "+1415", "en-US", 6),
    ("Europe/London", "+44", "en-GB", 3),
    ("America/New_York", "+1718", "ru", 1),
    ("America/Los_Angeles", "+1626", "zh-Hant", 1),
    ("America/Chicago", "+1713", "th", 1),
)


@dataclass(frozen=True, kw_only=True)
class Person:
    """A customer of the shop."""

    user_id: str
    first_name: str
    last_name: str
    email: str
    zone: str
    locale: str = "en-US"
    phone: str | None = None
    tier: str | None = None
    agent: str | None = None
    consent: bool | None = None  #: to marketing; None: they were never asked
    household: int | None = None

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}"

    @property
    def called(self) -> str:
        """How the story calls somebody, in Latin letters."""
        return self.user_id.capitalize() if self.household is None else self.name

    @property
    def tz(self) -> ZoneInfo:
        """The zone they live in."""
        return ZoneInfo(self.zone)

    def traits(self) -> dict[str, Any]:
        """What the shop tells about them."""
        said = {
            "first_name": self.first_name,
            "last_name": self.last_name,
            "email": self.email,
            "phone": self.phone,
            "locale": self.locale,
            "timezone": self.zone,
            "tier": self.tier,
            "assigned_agent": self.agent,
            "agent_name": self.agent,
            "marketing_consent": self.consent,
        }
        return {name: value for name, value in said.items() if value is not None}


STEVE = Person(
    user_id="steve",
    first_name="Steve",
    last_name="Larsen",
    email="steve.larsen@example.com",
    phone="+12065550101",
    zone="America/Los_Angeles",
    tier="vip",
    agent=AGENTS[0],
    consent=True,
)
ANN = Person(
    user_id="ann",
    first_name="Ann",
    last_name="Bauer",
    email="ann.bauer@example.com",
    phone="+12065550102",
    zone="America/Chicago",
    consent=True,
)
JANE = Person(
    user_id="jane",
    first_name="Jane",
    last_name="Lau",
    email="jane.lau@example.com",
    phone="+12065550103",
    zone="America/New_York",
    tier="premium",
    agent=AGENTS[1],
)
OLGA = Person(
    user_id="olga",
    first_name="Ольга",
    last_name="Петрова",
    email="olga.petrova@example.com",
    phone="+12065550104",
    zone="America/New_York",
    locale="ru",
)
SOMCHAI = Person(
    user_id="somchai",
    first_name="สมชาย",
    last_name="ใจดี",
    email="somchai@example.com",
    phone="+12065550105",
    zone="Asia/Bangkok",
    locale="th",
)
MEI = Person(
    user_id="mei",
    first_name="美玲",
    last_name="林",
    email="mei.lin@example.com",
    phone="+12065550106",
    zone="Asia/Taipei",
    locale="zh-Hant",
)
NADIA = Person(
    user_id="nadia",
    first_name="Nadia",
    last_name="Haddad",
    email="nadia.haddad@example.com",
    phone="+447700900107",
    zone="Europe/London",
    locale="en-GB",
    consent=False,
)
BEN = Person(
    user_id="ben",
    first_name="Ben",
    last_name="Ortiz",
    email="bounce+ben.ortiz@example.com",  # the post office lets mail to bounce+… come back
    phone="+12065550108",
    zone="America/New_York",
)
TOM = Person(
    user_id="tom",
    first_name="Tom",
    last_name="Weber",
    email="tom.weber@example.com",
    phone="+12065550109",
    zone="America/New_York",
)

CAST = (STEVE, ANN, JANE, OLGA, SOMCHAI, MEI, NADIA, BEN, TOM)


def of_households(
    households: Sequence[int], *, invited: Sequence[int], loyal: Sequence[int]
) -> list[Person]:
    """Make up a person for each household, the same one whenever the same list is given.

    ``invited`` are those that the grocer sent a campaign: most of them agreed to marketing, in this
    story; the others were asked and said no, or never asked. ``loyal`` are VIPs with their own agent.
    """
    return [
        _made_up(household, place, invited=household in invited, loyal=household in loyal)
        for place, household in enumerate(households)
    ]


def _made_up(household: int, place: int, *, invited: bool, loyal: bool) -> Person:
    chance = random.Random(f"signalpost demo {household}")
    first, last = chance.choice(_FIRST), chance.choice(_LAST)
    weights = [weight for *_, weight in _PLACES]
    zone, area, locale, _ = chance.choices(_PLACES, weights)[0]
    agrees, asked = chance.random() < 0.75, chance.random() < 0.6
    return Person(
        user_id=f"household-{household}",
        household=household,
        first_name=first,
        last_name=last,
        email=f"{first}.{last}.{household}@example.com".lower(),
        phone=_number(area, place) if loyal or chance.random() < 0.8 else None,
        zone=zone,
        locale=locale,
        tier="vip" if loyal else None,
        agent=chance.choice(AGENTS) if loyal else None,
        consent=True if loyal or (invited and agrees) else False if asked else None,
    )


def _number(area: str, place: int) -> str:
    """Give a number that nobody has; unlike for up to a hundred places."""
    return f"+447700900{place + 200:03}" if area == "+44" else f"{area}55501{place % 100:02}"
