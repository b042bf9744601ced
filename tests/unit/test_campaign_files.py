"""A campaign file is read as a marketer means it, or refused by file, line and remedy."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from signalpost.content import Catalogue, ContentError
from signalpost.content import campaigns as files
from signalpost.domain import audience as rules
from signalpost.domain.campaign import Approval, Arm, Personal
from signalpost.domain.gate import Cap
from signalpost.domain.vocabulary import Channel, Purpose
from signalpost.errors import BadInputError, NotFoundError

ROOT = Path(__file__).parents[2]
CATALOGUE = Catalogue.load(ROOT / "templates")
SHIPPED = files.load(ROOT / "deployments" / "campaigns", CATALOGUE)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

WHOLE = """\
name: try-out
message: spring_promotion
audience:
  all:
    - attribute: tier
      among: [gold, vip]
    - did: order.placed
      where: {product: {contains: jacket}}
channels:
  every: [email, in_app]
facts:
  percent: 15
promotion:
  id: spring
  code: SPRING15
  ends: 2030-05-31 23:59
  zone: Europe/London
"""


def load(tmp_path, text, name="try-out"):
    folder = tmp_path / "campaigns"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text, "utf-8")
    return files.load(folder, CATALOGUE, broken="collect")


def good(tmp_path, text):
    found = load(tmp_path, text)
    assert found.problems == ()
    return found["try-out"]


# -- the shipped files -----------------------------------------------------------------------------


def test_the_shipped_campaigns_have_no_problem_now_and_in_three_years():
    assert set(SHIPPED) >= {"vip-early-access", "spring-promotion", "win-back", "service-notice"}
    assert SHIPPED.warnings == ()
    for campaign in SHIPPED.values():
        for days in (0, 365, 1000):
            moment = NOW + timedelta(days=days)
            assert files.check(campaign, CATALOGUE, moment, campaigns=set(SHIPPED)) == []


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_pinned_version_reads_back_as_the_campaign_it_was(name):
    campaign = SHIPPED[name]
    pinned = json.loads(json.dumps(campaign.definition, sort_keys=True))
    assert files.from_definition(pinned) == campaign
    assert campaign.version == files.version_of(pinned)
    assert len(campaign.version) == 16


def test_early_access_asks_by_text_first():
    campaign = SHIPPED["vip-early-access"]
    assert campaign.via == ((Channel.SMS, Channel.EMAIL),)


def test_the_spring_promotion_is_one_promotion_on_every_channel():
    campaign = SHIPPED["spring-promotion"]
    assert campaign.via == ((Channel.EMAIL,), (Channel.IN_APP,))
    assert campaign.promotion is not None
    assert campaign.promotion.code == "SPRING15"
    assert campaign.facts["last_bought"] == Personal("event", "order.placed", "product")


def test_win_back_finds_good_customers_by_recency_and_measures_against_a_control():
    campaign = SHIPPED["win-back"]
    [did, _] = list(rules.clauses(campaign.audience))
    assert isinstance(did, rules.Did)
    assert did.last_before == timedelta(days=120)
    assert Arm(name="nothing", share=0.1, message=None) in campaign.arms
    assert campaign.measure.horizon == 200


def test_a_service_notice_is_a_series_of_three_that_holds_marketing_back():
    campaign = SHIPPED["service-notice"]
    assert campaign.purpose is Purpose.TRANSACTIONAL
    assert [one.name for one in campaign.stages] == ["first", "update", "all-clear"]
    assert campaign.holds_back_marketing
    assert campaign.via == ((Channel.IN_APP,), (Channel.SMS, Channel.EMAIL))


@pytest.mark.parametrize(
    ("stage", "asks"),
    [
        ("first", ["what", "since", "reference", "expected_by", "store"]),
        ("update", ["what", "since", "reference", "expected_by", "news"]),
        ("all-clear", ["what", "since", "reference", "resolved_at", "apology"]),
    ],
)
def test_each_stage_asks_for_what_its_message_shows_and_the_first_for_what_finds_its_people(
    stage, asks
):
    asked = files.asked(SHIPPED["service-notice"], CATALOGUE, stage=stage)
    assert [fact.name for fact in asked] == asks


# -- what a file means -----------------------------------------------------------------------------


def test_purpose_and_topic_are_those_of_the_message_and_may_be_left_out(tmp_path):
    campaign = good(tmp_path, WHOLE)
    assert (campaign.purpose, campaign.topic) == (Purpose.MARKETING, "offers")
    assert campaign.approval == Approval(above=1000)


def test_a_version_that_is_pinned_keeps_a_code_that_is_no_longer_taken(tmp_path):
    pinned = dict(good(tmp_path, WHOLE).definition)
    pinned["promotion"] = pinned["promotion"] | {"code": "HÜRST-15"}
    assert files.from_definition(pinned).promotion.code == "HÜRST-15"


def test_comments_and_order_make_no_new_version_and_a_word_does(tmp_path):
    plain = good(tmp_path, WHOLE)
    moved = good(tmp_path, "# a comment\n" + WHOLE.replace("id: spring\n", "id: spring  # x\n"))
    other = good(tmp_path, WHOLE.replace("percent: 15", "percent: 20"))
    assert plain.version == moved.version != other.version


@pytest.mark.parametrize(
    ("written", "via", "preferred"),
    [
        ("channels: email", (("email",),), False),
        ("channels: [email, in_app]", (("email",), ("in_app",)), False),
        ("channels: {every: [email, in_app]}", (("email",), ("in_app",)), False),
        ("channels: {first: [in_app, email]}", (("in_app", "email"),), False),
        ("channels: {first: [in_app, email], preferred: yes}", (("in_app", "email"),), True),
        ("channels: [{first: [email, in_app]}]", (("email", "in_app"),), False),
    ],
)
def test_channels_are_every_one_or_the_first_or_a_mix(tmp_path, written, via, preferred):
    text = WHOLE.replace("channels:\n  every: [email, in_app]", written)
    campaign = good(tmp_path, text)
    assert campaign.via == via
    assert campaign.preferred is preferred
    assert files.from_definition(campaign.definition) == campaign


AUDIENCES = [
    ("everyone: true", rules.Everyone()),
    ("not: {attribute: tier, is: vip}", rules.Not(rules.Attribute("tier", "is", "vip"))),
    ("any: [{reachable: sms}]", rules.AnyOf((rules.Reachable("sms"),))),
    ("{attribute: locale, is: no}", rules.Attribute("locale", "is", "no")),
    ("{attribute: shop, is: 007}", rules.Attribute("shop", "is", "007")),
    ("{attribute: born, before: 2000-01-31}", rules.Attribute("born", "before", "2000-01-31")),
    ("{attribute: opens, is: 10:30}", rules.Attribute("opens", "is", "10:30")),
    ("{attribute: points, at_least: 1500}", rules.Attribute("points", "at_least", 1500)),
    ("{attribute: member, is: true}", rules.Attribute("member", "is", True)),
    ("{attribute: size, is: 42}", rules.Attribute("size", "is", 42)),
    ('{attribute: size, is: "42"}', rules.Attribute("size", "is", "42")),
    ("{attribute: tier, known: true}", rules.Attribute("tier", "known")),
    ("{attribute: tier, known: false}", rules.Not(rules.Attribute("tier", "known"))),
    (
        "{attribute: points, at_least: 10, less_than: 20}",
        rules.All(
            (rules.Attribute("points", "at_least", 10), rules.Attribute("points", "less_than", 20))
        ),
    ),
    ("known_for: {at_least: 1y}", rules.Tenure(at_least=timedelta(days=365))),
    ("consent: {channel: sms, topic: offers}", rules.Consent("sms", "offers")),
    ("did: order.placed", rules.Did("order.placed")),
    ("did_not: order.placed", rules.Not(rules.Did("order.placed"))),
    (
        "{did: order.placed, times: 2, at_most: 5, within: 90d}",
        rules.Did("order.placed", within=timedelta(days=90), times=2, at_most=5),
    ),
    (
        "{did: order.placed, sum_of: total, total_at_least: 99.5}",
        rules.Did("order.placed", sum_of="total", total_at_least=99.5),
    ),
    (
        "{did: order.placed, where: {items.name: {among: [a, b]}, store: Riverside}}",
        rules.Did(
            "order.placed",
            (
                rules.Where("items.name", "among", ("a", "b")),
                rules.Where("store", "is", "Riverside"),
            ),
        ),
    ),
    (
        "{did: order.placed, last_before: 120d}",
        rules.Did("order.placed", last_before=timedelta(120)),
    ),
    (
        "{did_not: order.placed, unless: {did: order.returned, same: order_id}}",
        rules.Not(rules.Did("order.placed", unless=rules.Unless(("order.returned",), "order_id"))),
    ),
    (
        "{did: a.b, unless: {did: [c.d, e.f, c.d], same: id, where: {store: {given: store}}}}",
        rules.Did(
            "a.b",
            unless=rules.Unless(
                ("c.d", "e.f"), "id", (rules.Where("store", "is", rules.Given("store")),)
            ),
        ),
    ),
    (
        "{in_campaign: try-out, outcome: held_out, series: S-1}",
        rules.InCampaign("try-out", "held_out", None, "S-1"),
    ),
    ("sample: {share: 10%, seed: spring}", rules.Sample(0.1, "spring")),
]


@pytest.mark.parametrize(("written", "rule"), AUDIENCES)
def test_every_rule_of_an_audience_can_be_written(tmp_path, written, rule):
    audience = WHOLE[WHOLE.index("audience:") : WHOLE.index("channels:")]
    campaign = good(tmp_path, WHOLE.replace(audience, f"audience:\n  {written}\n"))
    assert campaign.audience == rule
    assert files.from_definition(json.loads(json.dumps(campaign.definition))) == campaign


def test_the_rest_of_the_file_means_what_it_says(tmp_path):
    campaign = good(
        tmp_path,
        WHOLE + "expires: 36h\ncaps: [2 per 1d, 6 per 7d]\nholdout: 2.5%\napproval: never\n"
        "pace: {email: 6000/m}\nrun_on: process-pool\nschedule: {cron: 0 10 * * MON, zone: customer}\n",
    )
    assert campaign.expires_after == timedelta(hours=36)
    assert campaign.caps == (Cap(2, timedelta(days=1)), Cap(6, timedelta(days=7)))
    assert campaign.holdout == 0.025
    assert campaign.approval.above is None
    assert campaign.pace == {"email": 100.0}
    assert campaign.run_on == "process-pool"
    assert campaign.schedule.is_local
    assert campaign.promotion.ends_at == datetime(2030, 5, 31, 22, 59, tzinfo=UTC)


def test_a_code_stays_as_it_was_written(tmp_path):
    for code in ("007", "1E5", "12.10", "no", "2030-01-01"):
        assert good(tmp_path, WHOLE.replace("SPRING15", code)).promotion.code == code


def test_the_example_in_the_documentation_is_right(tmp_path):
    text = (ROOT / "docs" / "adding-a-campaign.md").read_text("utf-8")
    [example, experiment] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    whole = example.replace("spring-sale", "try-out")
    assert good(tmp_path, whole).schedule.is_local
    whole = whole.replace("spring_promotion", "win_back").replace("in_app", "sms")
    whole = whole.replace("  last_bought: {event: order.placed, fact: product}\n", "  {}\n")
    assert len(good(tmp_path, whole + experiment).arms) == 3


# -- what is refused -------------------------------------------------------------------------------

EXPERIMENT = "experiment:\n  arms:\n    - {name: a, share: 50%}\n    - {name: b, share: 50%}\n"
REFUSED = [
    # replaced, by what, the line, what it says, the remedy
    ("name: try-out", "name: other", 1, "file 'try-out.yaml'", "one name"),
    ("name: try-out", "name: Try Out", 1, "is no name", "small letters"),
    ("name: try-out\n", "", 1, "`name` is missing", "the file's name"),
    ("message: spring_promotion", "message: spring_promo", 2, "no message", "spring_promotion"),
    ("message: spring_promotion\n", "", 1, "`message` is missing", "templates/"),
    ("message: spring_promotion", "message: pickup_csat", 2, "asks a question", "journey"),
    ("channels:", "chanels:", 9, "`chanels` is not a key", "channels"),
    ("channels:", "purpose: transactional\nchannels:", 9, "'marketing'", "remove the line"),
    ("channels:", "topic: news\nchannels:", 9, "'offers'", "topic: offers"),
    ("channels:", "name: try-out\nchannels:", 9, "written twice", "keep one"),
    ("channels:", "expires:\nchannels:", 9, "has no value", "remove the line"),
    ("channels:", "expires: 2\nchannels:", 9, "no length of time", "2h"),
    ("channels:", "expires: 0d\nchannels:", 9, "no length of time", "2h"),
    ("channels:", "holdout: 60%\nchannels:", 9, "more than half", "50%"),
    ("channels:", "holdout: ten\nchannels:", 9, "no share", "10%"),
    ("channels:", "caps: [2]\nchannels:", 9, "no cap", "2 per 1d"),
    ("channels:", "caps: []\nchannels:", 9, "is empty", "at least one"),
    ("channels:", "approval: above 5000\nchannels:", 9, "more than 1,000", "never"),
    ("channels:", "approval: maybe\nchannels:", 9, "no rule of approval", "always"),
    ("channels:", "pace: {email: 0/s}\nchannels:", 9, "pace of 0", "pause"),
    ("channels:", "pace: {sms: 1/s}\nchannels:", 9, "nothing goes out", "remove"),
    ("channels:", "pace: {email: fast}\nchannels:", 9, "no pace", "100/s"),
    ("channels:", "holds_back_marketing: true\nchannels:", 9, "for ever", "closes"),
    ("every: [email, in_app]", "every: [email, fax]", 10, "no channel 'fax'", "sms"),
    ("every: [email, in_app]", "every: [email, web]", 10, "no channel 'web'", "did you mean in_app"),
    ("every: [email, in_app]", "every: [email, sms]", 9, "not written for sms", "email, in_app"),
    ("every: [email, in_app]", "every: [email, email]", 10, "twice", "once"),
    ("every: [email, in_app]", "all: [email]", 10, "`all` is not a key", "every"),
    ("every: [email, in_app]", "first: [email]\n  preferred: true", 11, "nothing to choose", "remove"),
    ("every: [email, in_app]", "every: email, in_app", 10, "is no list", "[one, two]"),
    ("attribute: tier", "atribute: tier", 5, "`atribute` is no rule", "attribute"),
    ("attribute: tier", "attribute: teir", 5, "looks like 'tier'", "write tier"),
    ("attribute: tier", "attribute: tz", 5, "not kept as an attribute", "attribute: zone"),
    ("attribute: tier", "attribute: my tier", 5, "no attribute's name", "letters"),
    ("among: [gold, vip]", "amonk: [gold]", 6, "`amonk` is not a key", "among"),
    ("among: [gold, vip]", "is: [gold]", 6, "one value", "among"),
    ("among: [gold, vip]", "among: gold", 6, "list of values", "[gold, vip]"),
    ("      among: [gold, vip]\n", "", 5, "what to compare with", "is"),
    ("among: [gold, vip]", "at_least: many", 6, "no number", "digits"),
    ("among: [gold, vip]", "at_least: 9\n      at_most: 8.5", 5, "at least 9 and at most", "one"),
    ("among: [gold, vip]", "at_least: 9\n      less_than: 9", 5, "at least 9 and less than", "one"),
    ("among: [gold, vip]", "more_than: 9\n      at_most: 9", 5, "more than 9 and at most 9", "one"),
    ("among: [gold, vip]", "more_than: 9\n      less_than: 9", 5, "more than 9 and less", "one"),
    (
        "among: [gold, vip]",
        "after: 2026-03-01\n      before: 2026-03-02",
        5,
        "after 2026-03-01 and before 2026-03-02",
        "correct one",
    ),
    ("among: [gold, vip]", "before: 20261231", 6, "no day", "2026-12-31"),
    (
        "{contains: jacket}",
        "{at_least: 9, at_most: 8}",
        8,
        "at least 9 and at most 8, and 'product' has to be",
        "correct one",
    ),
    (
        "did: order.placed",
        "did: order.placed\n      sum_of: total\n      total_at_least: 300\n      total_at_most: 100",
        10,
        "no total is at least 300 and at most 100",
        "correct one",
    ),
    (
        "attribute: tier\n      among: [gold, vip]",
        "attribute: zone\n      is: Europe/Lodnon",
        6,
        "no customer can have the zone 'Europe/Lodnon'",
        "did you mean Europe/London?",
    ),
    (
        "attribute: tier\n      among: [gold, vip]",
        "attribute: zone\n      not_among: [UTC, Narnia]",
        6,
        "no customer can have the zone 'Narnia'",
        "Europe/Paris.",
    ),
    (
        "attribute: tier\n      among: [gold, vip]",
        "attribute: locale\n      is: klingon",
        6,
        "no customer can have the locale 'klingon'",
        "en-GB",
    ),
    (
        "attribute: tier\n      among: [gold, vip]",
        "attribute: locale\n      is_not: en_gb",
        6,
        "no customer can have the locale 'en_gb'",
        "write en-GB",
    ),
    (
        "attribute: tier\n      among: [gold, vip]",
        "consent: {channel: email, topic: ofers}",
        5,
        "the topic 'ofers' looks like 'offers'",
        "write offers",
    ),
    ("among: [gold, vip]", "before: soon", 6, "no day", "2026-12-31"),
    ("among: [gold, vip]", "is: gold\n      did: order.placed", 5, "two rules in one", "list"),
    ("did: order.placed", "did: order.place", 7, "looks like 'order.placed'", "write order.placed"),
    ("did: order.placed", "did: placed an order", 7, "no event's name", "dotted"),
    ("did: order.placed", "did: order.placed\n      within: 1 year", 8, "length of time", "1y"),
    ("did: order.placed", "did: order.placed\n      times: 0", 8, "no count", "from 1"),
    ("did: order.placed", "did: order.placed\n      sum_of: total", 7, "without a total", "at_least"),
    ("did: order.placed", "did: order.placed\n      total_at_least: 5", 7, "of what", "sum_of"),
    (
        "did: order.placed",
        "did: order.placed\n      within: 30d\n      last_before: 60d",
        9,
        "nobody",
        "longer",
    ),
    (
        "did: order.placed",
        "did: order.placed\n      unless: order.returned",
        8,
        "no group of keys",
        "below it",
    ),
    (
        "did: order.placed",
        "did: order.placed\n      unless: {did: order.returned}",
        8,
        "`same` is missing",
        "same",
    ),
    (
        "did: order.placed",
        "did: order.placed\n      unless: {did: [], same: order_id}",
        8,
        "empty",
        "one",
    ),
    (
        "did: order.placed",
        "did: order.placed\n      unless: {did: order.placed, same: order_id}",
        8,
        "as itself",
        "another event",
    ),
    (
        "did: order.placed",
        "did: order.placed\n      unless: {did: order.retuned, same: order_id}",
        7,
        "looks like 'order.returned'",
        "write order.returned",
    ),
    (
        "did: order.placed",
        "did: order.placed\n      unless: {did: order.returned, same: oder_id}",
        8,
        "looks like its fact 'order_id'",
        "write order_id",
    ),
    ("where: {product:", "where: {prodct:", 8, "looks like its fact 'product'", "product"),
    ("where: {product: {contains:", "where: {product: {contain:", 8, "`contain` is not", "contains"),
    ("  percent: 15", "  percent: lots", 12, "'percent' is no integer", "15"),
    ("  percent: 15", "  percent: 150", 12, "'percent' is no integer from 1 to 100", "15"),
    ("  percent: 15", "  percent: -15", 12, "'percent' is no integer from 1 to 100", "15"),
    ("  percent: 15", "  percent: 15\n  colour: red", 13, "no message", "percent"),
    ("facts:\n  percent: 15\n", "", 2, "has to show 'percent'", "asks"),
    ("  percent: 15", "  percent: 15\n  code: X", 13, "promotion gives 'code'", "one place"),
    ("code: SPRING15", "code: “SPRING15”", 15, "LEFT DOUBLE QUOTATION MARK", "A to Z"),
    ("code: SPRING15", "code: АUTUMN15", 15, "CYRILLIC CAPITAL LETTER A", "A to Z"),
    ("code: SPRING15", "code: SPRING🍂", 15, "FALLEN LEAF", "digits"),
    ("code: SPRING15", 'code: "SPRING 15 "', 15, "SPACE", "dots, - and _"),
    ("  id: spring", "  facts: {code: X}\n  id: spring", 14, "`code` says 'code'", "remove it here"),
    ("  id: spring", "  facts: {promotion_id: x}\n  id: spring", 14, "own `id` says", "in `id`"),
    ("  id: spring", "  facts: {expires_at: x}\n  id: spring", 14, "own `ends` says", "in `ends`"),
    ("channels:", "asks: [percent]\nchannels:", 9, "given twice", "once"),
    ("  percent: 15", "  percent: {attribute: teir}", 12, "looks like 'tier'", "tier"),
    ("  percent: 15", "  percent: {event: order.placed}", 12, "`fact` is missing", "product"),
    ("  ends: 2030-05-31 23:59", "  ends: 2030-05-31", 16, "no day with a time", "23:59"),
    ("  ends: 2030-05-31 23:59", "  ends: 2030-02-29 23:59", 16, "next is 2032-02-29", "another"),
    ("  ends: 2030-05-31 23:59", "  ends: 2030-06-31 23:59", 16, "no such day", "write"),
    ("  zone: Europe/London\n", "", 16, "where it is that late", "zone"),
    ("  zone: Europe/London", "  zone: Londres", 17, "no time zone", "Europe/Paris. In a"),
    ("  zone: Europe/London", "  zone: Londn", 17, "no time zone", "did you mean Europe/London?"),
    ("  id: spring\n", "", 13, "`id` is missing", "add"),
    ("channels:", "schedule: {}\nchannels:", 9, "no time", "by hand"),
    ("channels:", "schedule: {at: 2030-01-01}\nchannels:", 9, "no day with a time", "10:00"),
    ("channels:", "schedule: {at: 2030-01-01 10:00Z}\nchannels:", 9, "offset", "zone"),
    ("channels:", "schedule: {at: 2030-02-29 10:00}\nchannels:", 9, "2032-02-29", "another"),
    ("channels:", "schedule: {cron: every day}\nchannels:", 9, "cron line", "0 10"),
    ("channels:", "schedule: {cron: 0 25 * * *}\nchannels:", 9, "cron line", "0 10"),
    ("channels:", "schedule: {cron: '* * * * *'}\nchannels:", 9, "more often", "fewer"),
    ("channels:", "schedule: {cron: 0 9 30 2 *}\nchannels:", 9, "cron line", "0 10"),
    ("channels:", "schedule: {rrule: FREQ=SOMETIMES}\nchannels:", 9, "RRULE", "BYHOUR"),
    ("channels:", "schedule: {rrule: FREQ=SECONDLY;BYHOUR=9;BYMINUTE=0}\nchannels:", 9, "WEEKLY", "F"),
    ("channels:", "schedule: {rrule: DTSTART:00010101T090000 FREQ=DAILY}\nchannels:", 9, "away", ""),
    ("channels:", "schedule: {rrule: FREQ=DAILY;INTERVAL=0;BYHOUR=9}\nchannels:", 9, "=0", ""),
    ("channels:", "schedule: {rrule: FREQ=DAILY;UNTIL=20270101}\nchannels:", 9, "UNTIL", "until"),
    ("channels:", "schedule: {rrule: FREQ=DAILY}\nchannels:", 9, "no time of day", "BYHOUR"),
    (
        "channels:",
        "schedule: {rrule: FREQ=DAILY;INTERVAL=2;BYHOUR=9;BYMINUTE=0}\nchannels:",
        9,
        "first one",
        "DTSTART",
    ),
    (
        "channels:",
        "schedule: {rrule: FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;BYHOUR=9;BYMINUTE=0}\nchannels:",
        9,
        "never comes",
        "a day",
    ),
    ("channels:", "schedule: {cron: 0 9 * * *, at: 2030-01-01 10:00}\nchannels:", 9, "at and", "one"),
    (
        "channels:",
        "schedule: {at: 2030-01-01 10:00, until: 2030-01-02}\nchannels:",
        9,
        "comes again",
        "remove until",
    ),
    ("channels:", EXPERIMENT.replace("50%}\n    - {name: b", "40%}\n    - {name: b") + "channels:", 10,
     "add up to 90%", "100%"),
    ("channels:", EXPERIMENT.replace("name: b", "name: a") + "channels:", 10, "called 'a'", "rename"),
    ("channels:", EXPERIMENT.replace("- {name: b, share: 50%}", "") + "channels:", 10,
     "one arm", "control"),
    ("channels:", EXPERIMENT.replace("name: b", "message: win_bak, name: b") + "channels:", 12,
     "no message 'win_bak'", "win_back"),
    ("channels:", "experiment: {measure: {within: 7d}}\nchannels:", 9, "nothing to compare", "holdout"),
    (
        "channels:",
        "experiment: {measure: {horizon: 5, sequential: true}}\nchannels:",
        9,
        "not both",
        "keep",
    ),
    ("channels:", "stages: [{name: a, message: service_notice}]\nchannels:", 9, "opens", "opens: true"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "says", "remedy"), REFUSED)
def test_a_slip_is_refused_with_its_line_and_what_to_do(tmp_path, old, new, line, says, remedy):
    assert old in WHOLE
    found = load(tmp_path, WHOLE.replace(old, new, 1))
    assert "try-out" not in found
    assert found.problems
    texts = [str(problem) for problem in found.problems]
    assert any(
        problem.line == line and says in problem.says and remedy in problem.remedy
        for problem in found.problems
    ), texts
    assert all(text.startswith("campaigns/try-out.yaml:") for text in texts)


def test_everything_wrong_with_a_file_is_said_at_once(tmp_path):
    text = WHOLE.replace("among", "amonk").replace("every", "evry").replace("zone: Eur", "zone: Er")
    assert [problem.line for problem in load(tmp_path, text).problems] == [6, 10, 17]


def test_one_bad_file_hides_no_other_and_is_explained_to_whoever_asks_for_it(tmp_path):
    load(tmp_path, WHOLE)
    found = load(tmp_path, WHOLE.replace("channels", "chanels"), name="other")
    assert list(found) == ["try-out"]
    assert found.get("other") is None
    with pytest.raises(NotFoundError, match=r"other.yaml:9: .*`chanels` is not a key"):
        found["other"]
    with pytest.raises(NotFoundError, match="did you mean 'try-out'"):
        found["tryout"]
    with pytest.raises(ContentError, match="chanels"):
        files.load(found.folder, CATALOGUE)


def test_lint_says_what_is_wrong_odd_and_late_in_one_list(tmp_path):
    late = WHOLE.replace("order.placed", "quiz.finished").replace("2030-", "2020-")
    load(tmp_path, WHOLE.replace("channels", "chanels"), name="other")
    said = files.lint(load(tmp_path, late), CATALOGUE, NOW)
    assert [(one.file, one.line, one.rule) for one in said] == [
        ("campaigns/other.yaml", 1, "name"),
        ("campaigns/other.yaml", 9, "key"),
        ("campaigns/try-out.yaml", 7, "event-unknown"),
        ("campaigns/try-out.yaml", 16, "promotion-ended"),
    ]


def test_a_folder_that_is_not_there_holds_no_campaigns(tmp_path):
    found = files.load(tmp_path / "nowhere", CATALOGUE)
    assert (len(found), found.problems) == (0, ())


@pytest.mark.parametrize(
    ("name", "says", "remedy", "warns"),
    [
        ("try-uot", "there is no campaign 'try-uot'", "did you mean try-out?", False),
        ("tryout", "there is no campaign 'tryout'", "did you mean try-out?", False),
        ("try-out-2025", "there is no file of a campaign 'try-out-2025'", "record", True),
        ("autumn", "there is no file of a campaign 'autumn'", "plan and launch refuse", True),
        ("try-out", None, None, None),
    ],
)
def test_a_campaign_without_a_file_may_have_run_unless_it_is_nearly_another(
    tmp_path, name, says, remedy, warns
):
    """The record knows; in ``not:`` a slip of the pen would mean everybody."""
    text = WHOLE.replace("- did: order.placed\n      where: {product: {contains: jacket}}",
                         f"- not: {{in_campaign: {name}}}")  # fmt: skip
    found = load(tmp_path, text)
    assert list(found) == ["try-out"]
    told = [
        (one.line, one.says, files.is_warning(one)) for one in files.lint(found, CATALOGUE, NOW)
    ]
    assert told == ([(7, says, warns)] if says else [])
    assert all(remedy in one.remedy for one in files.lint(found, CATALOGUE, NOW))


def test_a_topic_of_which_no_message_is_may_be_that_of_the_shop(tmp_path):
    text = WHOLE.replace("attribute: tier\n      among: [gold, vip]",
                         "consent: {channel: email, topic: recipes}")  # fmt: skip
    found = load(tmp_path, text)
    assert list(found) == ["try-out"]
    [warning] = found.warnings
    assert (warning.line, warning.says) == (5, "no message has the topic 'recipes'")


def test_bounds_that_touch_and_a_path_to_several_values_contradict_nothing(tmp_path):
    """An order may hold both a dear item and a cheap one."""
    text = WHOLE.replace("among: [gold, vip]", "at_least: 9\n      at_most: 9")
    good(tmp_path, text.replace("{product: {contains: jacket}}",
                                "{items.price: {more_than: 90, at_most: 10}}"))  # fmt: skip


def test_an_event_that_only_the_shop_knows_is_a_warning(tmp_path):
    found = load(tmp_path, WHOLE.replace("order.placed", "quiz.finished"))
    assert list(found) == ["try-out"]
    [warning] = found.warnings
    assert files.is_warning(warning)
    assert (warning.line, "quiz.finished" in warning.says) == (7, True)


def test_a_service_message_is_kept_from_nobody_and_counts_toward_no_cap(tmp_path):
    text = """\
name: try-out
message: service_notice
audience: {everyone: true}
channels: [in_app]
asks: [what, since, reference]
holdout: 10%
caps: [1 per 1d]
"""
    said = [(problem.line, problem.says) for problem in load(tmp_path, text).problems]
    assert said == [
        (6, "a transactional message is kept from nobody"),
        (7, "caps count marketing only, and this is transactional"),
    ]


@pytest.mark.parametrize(
    "message", [name for name in CATALOGUE.names() if CATALOGUE[name].question is None]
)
def test_a_new_file_is_right_as_it_stands(tmp_path, message):
    campaign = good(tmp_path, files.scaffold("try-out", message, CATALOGUE))
    assert campaign.message == message
    found = files.check(campaign, CATALOGUE, NOW)
    assert [one.rule for one in found] == ["description"], "only you know what it is for"
    assert all(files.is_warning(one) for one in found)


def test_a_new_file_needs_a_name_and_a_message_that_there_is():
    with pytest.raises(BadInputError, match="no name for a campaign"):
        files.scaffold("../try", "win_back", CATALOGUE)
    with pytest.raises(BadInputError, match="asks a question"):
        files.scaffold("try-out", "pickup_csat", CATALOGUE)
    with pytest.raises(NotFoundError, match="win_back"):
        files.scaffold("try-out", "nothing", CATALOGUE)
