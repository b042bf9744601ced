# pyright: reportMissingImports=false
# ruff: noqa: E402 - models can be imported only once Django is set up
"""Queue with ``send_many``, then send what is queued with two processes, as its command does."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "post_office_anymail.settings")

import django
import material

django.setup()

from django.core.management import call_command
from post_office import mail
from post_office.models import STATUS, Email, EmailTemplate


def send_all(people):
    """Queue everybody and send; the rows of all say ``sent`` when it returns."""
    for start in range(0, len(people), 500):
        mail.send_many(
            [
                {
                    "recipients": [person["address"]],
                    "sender": SENDER,
                    "template": TEMPLATE,
                    "context": person["words"],
                    "headers": person["headers"],
                    "render_on_delivery": True,
                }
                for person in people[start : start + 500]
            ]
        )
    mail.send_queued_mail_until_done(lockfile=str(material.FOLDER / "lock"), processes=2)
    if Email.objects.exclude(status=STATUS.sent).exists():
        raise RuntimeError("some were not sent")


def _template(texts):
    as_is = {part: "{% autoescape off %}" + text + "{% endautoescape %}" for part, text in texts}
    return EmailTemplate.objects.create(
        name="early_bird",
        subject=as_is["subject"],
        content=as_is["text"],
        html_content=as_is["html"],
    )


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    known = material.campaign()
    SENDER = f"{known['from']['name']} <{known['from']['email']}>"
    TEMPLATE = _template(known["templates"].items())
    material.drive(send_all)
