"""Logs: one shape for everything, ids on every line of a send, and of errors the kind and the place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SCRIPT = """
import logging, sys
import structlog
from signalpost.cli import logs
logs.set_up(sys.argv[1], shape=sys.argv[2])
log = structlog.get_logger("signalpost.x")
with structlog.contextvars.bound_contextvars(claim="C1", run="R1", journey="fraud-alert"):
    log.info("delivery.done", messages=2)
    try:
        raise RuntimeError("no route to ann@example.com")
    except RuntimeError:
        log.exception("delivery.provider_raised")
        logging.getLogger("somebody.elses").exception("It broke")
log.debug("quiet")
logging.getLogger("twilio.http_client").info("POST Body=hello To=+12065550100")
logging.getLogger("aiohttp.access").warning("slow")
"""


def said(level: str, shape: str) -> list[str]:
    """Give what a process writes."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, level, shape],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stderr.splitlines()


def test_each_line_is_json_with_the_ids_of_the_send():
    """Every line is one object; those inside a claim carry claim, run and journey."""
    lines = [json.loads(line) for line in said("INFO", "json")]
    assert [one["event"] for one in lines] == [
        "delivery.done",
        "delivery.provider_raised",
        "It broke",
        "slow",
    ]
    assert {one["level"] for one in lines} == {"info", "error", "warning"}
    for line in lines[:2]:
        assert (line["claim"], line["run"], line["journey"]) == ("C1", "R1", "fraud-alert")
        assert line["timestamp"].endswith("Z")


def test_an_error_is_told_by_its_kind_and_its_place():
    """Neither its text nor a traceback: they may hold an address. Libraries' errors too."""
    text = "\n".join(said("DEBUG", "json"))
    assert "ann@example.com" not in text
    assert "Traceback" not in text
    [ours, theirs] = [one for one in map(json.loads, text.splitlines()) if "error" in one]
    assert ours["error"] == theirs["error"] == "RuntimeError"
    assert ours["where"]


def test_what_an_sdk_says_below_a_warning_is_not_written():
    """The SDKs log bodies and numbers at INFO: they stay at WARNING whatever our level is."""
    text = "\n".join(said("DEBUG", "logfmt"))
    assert "+12065550100" not in text
    assert "event=quiet" in text
    assert "claim=C1" in text
