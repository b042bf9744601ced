"""Addresses in one spelling: emails in lower case, phones in E.164."""

from functools import lru_cache

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from signalpost.domain.identity import LONGEST_VALUE
from signalpost.errors import BadInputError


@lru_cache(maxsize=20_000)
def email(value: str) -> str:
    """Return an email address in lower case, without asking DNS.

    Raises:
        BadInputError: nobody can have this address.
    """
    try:
        checked = validate_email(
            value.strip(), check_deliverability=False, test_environment=True
        ).normalized
    except EmailNotValidError as error:
        raise BadInputError("the email address is not valid; write it as name@example.com") from (
            error
        )
    if len(checked) > LONGEST_VALUE:
        raise BadInputError("the email address is too long")
    return checked.lower()


@lru_cache(maxsize=20_000)
def phone(value: str, region: str = "US") -> str:
    """Return a phone number in E.164; ``region`` is the country it is written for, if without one.

    Raises:
        BadInputError: it is no number that can be called.
    """
    problem = BadInputError(
        "the phone number is not valid; write it with its country code, such as +14155552671"
    )
    if len(value) > LONGEST_VALUE:
        raise problem
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException as error:
        raise problem from error
    if not phonenumbers.is_possible_number(number) or not _plausible(number, value):
        raise problem
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _plausible(number: phonenumbers.PhoneNumber, value: str) -> bool:
    """Accept valid numbers; with a country code, possible ones too.

    Ranges are handed out faster than tables are updated, and some are kept for fiction and tests. A
    carrier that knows better says so, and the number is then marked bad.
    """
    return phonenumbers.is_valid_number(number) or value.strip().startswith("+")


def region_of(*, country: object, locale: object, default: str) -> str:
    """Choose the country that phones without a code are written for."""
    for code in (country, _last(locale)):
        if isinstance(code, str) and code.strip().upper() in phonenumbers.SUPPORTED_REGIONS:
            return code.strip().upper()
    return default


def _last(locale: object) -> str | None:
    parts = locale.replace("_", "-").split("-") if isinstance(locale, str) else []
    return next((part for part in parts[1:] if len(part) == 2), None)
