"""What we say: message folders, loaded, compiled, rendered and checked."""

from signalpost.content.catalogue import Catalogue, WebLinks, is_web_address
from signalpost.content.errors import ContentError, MissingFact, Problem, RenderFailed
from signalpost.content.facts import Fact, FactType
from signalpost.content.lint import lint, lint_message
from signalpost.content.sms import sms_segments, to_gsm
from signalpost.content.spec import MessageSpec, Question
from signalpost.content.variant import Variant
from signalpost.domain.text import Slot, fill

__all__ = [
    "Catalogue",
    "ContentError",
    "Fact",
    "FactType",
    "MessageSpec",
    "MissingFact",
    "Problem",
    "Question",
    "RenderFailed",
    "Slot",
    "Variant",
    "WebLinks",
    "fill",
    "is_web_address",
    "lint",
    "lint_message",
    "sms_segments",
    "to_gsm",
]
