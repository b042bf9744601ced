"""What every process of the harness has imported before it is forked: they start in milliseconds.

The places of ``signalpost.crash_points`` are armed here with a wish that never comes true, so that a
process which is forked from this one can be aimed.
"""

import os

os.environ["SIGNALPOST_CRASH_AT"] = "send.left~.0"

import psycopg
import sendgrid
import twilio.rest
import uvicorn

import flows
import signalpost.web.app
from signalpost import crash_points
from signalpost.cli import logs, serve
from signalpost.content import Catalogue
from signalpost.content.campaigns import load as load_campaigns
from signalpost.record.migrate import whole_metadata
from signalpost.settings import Settings

settings = Settings()
catalogue = Catalogue.load(settings.templates)
campaigns = load_campaigns(settings.campaigns, catalogue, broken="collect")
metadata = whole_metadata()

__all__ = [
    "campaigns",
    "catalogue",
    "crash_points",
    "flows",
    "load_campaigns",
    "logs",
    "metadata",
    "psycopg",
    "sendgrid",
    "serve",
    "signalpost",
    "twilio",
    "uvicorn",
]
