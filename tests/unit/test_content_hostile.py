"""Templates that would explode: refused by lint where it can be seen, stopped at one person where not.

The bounds are counted, not timed: the same template fails the same way on a busy machine.
"""

import time
import tracemalloc
from pathlib import Path

import pytest

from signalpost.content import Catalogue, MissingFact, RenderFailed, bounds, lint
from signalpost.content.errors import Problem
from signalpost.domain.vocabulary import Channel

FACTS = """\
[facts.items]
type = "list"
required = false
sample = [{name = "a", parts = ["b", "c"]}]
[facts.name]
type = "text"
sample = "n"
"""
LARGE = {"name": "n" * 500, "items": [{"name": "x" * 100, "parts": ["y"] * 15}] * 500}
SECONDS = 3.0  #: of this process's own time; on an idle machine none takes a third of it
BYTES = 100 * 2**20

#: What lint refuses: it never reaches anybody.
REFUSED = {
    "a text times a number": "{{ 'a' * 10**9 }}",
    "a list times a number": "{{ items * 100000 }}",
    "a power": "{{ 9**9**9 }}",
    "a long range": "{{ range(1000000000)|length }}",
    "a range by arithmetic": "{% for x in range(10**9) %}x{% endfor %}",
    "a wide format": "{{ '{:1000000000}'.format(1) }}",
    "a wide percent": "{{ '%1000000000d' % 1 }}",
    "a wide centre": "{{ 'x'|center(1000000000) }}",
    "a wide indent": "{{ 'x'|indent(1000000000) }}",
    "a method": "{{ 'x'.center(1000000000) }}",
    "an assignment that doubles": (
        "{% set x = 'a' %}{% for i in range(100) %}{% set x = x ~ x %}{% endfor %}{{ x }}"
    ),
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a loop that calls itself": "{% for a in items recursive %}{{ loop(items) }}{% endfor %}",
    "loops three deep": (
        "{% for a in items %}{% for b in items %}{% for c in items %}x"
        "{% endfor %}{% endfor %}{% endfor %}"
    ),
    "filters in a row": "{{ name" + "|upper" * 20_000 + " }}",
    "attributes in a row": "{{ name" + ".a" * 60_000 + " }}",
    "nots in a row": "{{ " + "not " * 40_000 + "name }}",
    "brackets in brackets": "{{ " + "(" * 40_000 + "1" + ")" * 40_000 + " }}",
    "lists in lists": "{{ " + "[" * 40_000 + "]" * 40_000 + " }}",
    "ifs in ifs": "{% if name %}" * 2_000 + "x" + "{% endif %}" * 2_000,
    "a number without end": "{{ " + "9" * 100_000 + " }}",
    "very many places": "{{ " + " ~ ".join(["name"] * 20_000) + " }}",
    "very many loops": "{% for a in items %}x{% endfor %}" * 3_000,
    "a loop with very much in it": (
        "{% for a in items %}" + "{% if name == a %}{% endif %}" * 300 + "{% endfor %}{{ name }}"
    ),
    "a file that includes itself": '{% include "m/sms.txt" %}',
    "a helper that writes": "{{ lipsum(n=10000) }}",
    "the way to a class": "{{ name.__class__.__mro__[1].__subclasses__() }}",
    "the way to globals": "{{ range.__globals__ }}",
    "the way round by map": "{{ items|map(attribute='__class__')|list }}",
    "the way round by attr": "{{ name|attr('__class__') }}",
    "the way round by format": "{{ '{0.__class__}'.format(name) }}",
    "a template within": "{% include name %}",
    "a file from elsewhere": "{% include '/etc/passwd' %}",
    "a file from above": "{% include '../../etc/passwd' %}",
    "an import": "{% import 'os' as os %}{{ os }}",
    "the environment": "{{ self._TemplateReference__context }}{{ config }}{{ request }}",
    "our own filter": "{% for a in name|each %}x{% endfor %}",
}
#: What cannot be seen in the text, and is stopped when it is too much for this person.
STOPPED = {
    "joins in joins": "{{ items|join(items|join(items|join(items|join('abc')))) }}",
    "joins in a row": "{{ name|join(name)|join(name)|join(name) }}",
    "a join of letters": "{{ name|join(name|join(name|join(name))) }}",
    "a loop over letters": "{% for c in name|join(name) %}{% if c == name %}{% endif %}{% endfor %}",
    "silent loops in loops": (
        "{% for a in items %}{% for b in items %}{% if a == b %}{% endif %}{% endfor %}{% endfor %}"
    ),
    "loops one after the other": "{% for a in items %}{{ a.name }}{% endfor %}" * 30,
    "very much in a loop": "{% for a in items %}" + "{{ name }}" * 200 + "{% endfor %}",
    "a sum of texts": "{{ " + " ~ ".join(["name"] * 1_000) + " }}",
}  # fmt: skip


def folder(tmp_path: Path, body: str) -> Path:
    (tmp_path / "brand.toml").write_text(
        'name = "B"\nwebsite = "https://b.example"\npostal_address = "1 Road"\n'
    )
    message = tmp_path / "m"
    message.mkdir()
    (message / "message.toml").write_text('purpose = "transactional"\ntopic = "t"\n' + FACTS)
    (message / "sms.txt").write_text(body)
    return tmp_path


def problems(tmp_path: Path, body: str) -> list[Problem]:
    return lint(Catalogue.load(folder(tmp_path, body), broken="collect"))


def render(catalogue: Catalogue, facts: dict) -> str:
    context = catalogue.context(
        "m",
        facts=facts,
        customer={},
        brand={},
        links=catalogue.sample_links(),
        locale="en",
        zone=None,
    )
    return catalogue.variant("m", Channel.SMS, "en").render(context)["text"]


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_what_would_explode_is_refused_by_lint_in_no_time(tmp_path: Path, body: str) -> None:
    started = time.process_time()
    found = problems(tmp_path, body)
    assert time.process_time() - started < SECONDS
    # Not the rule about facts that may be missing: that one a fallback would satisfy.
    assert [one for one in found if one.rule in ("template", "syntax", "render", "undefined")]
    assert all(one.remedy for one in found)


@pytest.mark.parametrize("body", STOPPED.values(), ids=STOPPED)
def test_what_is_too_much_for_one_person_is_their_failure_and_no_one_elses(
    tmp_path: Path, body: str
) -> None:
    catalogue = Catalogue.load(folder(tmp_path, "{% if items %}" + body + "{% endif %}ok"))
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(RenderFailed) as caught:
        render(catalogue, LARGE)
    took, (_, most) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < SECONDS
    assert most < BYTES
    assert "n" * 50 not in str(caught.value), "the place is told, never the values"
    assert render(catalogue, {"name": "n", "items": None}) == "ok"


@pytest.mark.parametrize(
    "items",
    [
        [["x"] * 500] * 500,
        [{"a": ["x"] * 300}] * 50,
        [{str(n): n for n in range(300)}] * 300,
    ],
)
def test_a_list_of_more_than_is_ever_shown_is_a_bad_fact(tmp_path: Path, items: list) -> None:
    catalogue = Catalogue.load(folder(tmp_path, "{{ name }}{% if items %}yes{% endif %}"))
    started = time.process_time()
    with pytest.raises(MissingFact) as caught:
        render(catalogue, {"name": "n", "items": items})
    assert time.process_time() - started < SECONDS
    assert caught.value.reason == "bad_fact:items"


def test_an_order_of_five_hundred_things_is_shown(tmp_path: Path) -> None:
    body = "{% for a in items %}{{ a.name }} {{ a.parts|join(', ') }}; {% endfor %}{{ name }}"
    catalogue = Catalogue.load(folder(tmp_path, "{% if items %}" + body + "{% endif %}"))
    items = [{"name": f"n{n}", "parts": ["b", "c"]} for n in range(500)]
    text = render(catalogue, {"name": "end", "items": items})
    assert text.startswith("n0 b, c; n1 b, c;")
    assert text.endswith("n499 b, c; end")


def test_all_slots_together_are_bounded_too(tmp_path: Path) -> None:
    """Each of them is small enough, and the message would be twenty megabytes."""
    one = "{% for a in items %}{{ a.name }}{{ name }}{% endfor %}"
    many = "".join(one.replace("{{ name }}", f"{n}{{{{ name }}}}") for n in range(7))
    catalogue = Catalogue.load(folder(tmp_path, "{% if items %}x{% endif %}" + many))
    facts = {"name": "n" * 200, "items": [{"name": "x" * 150}] * 500}
    with pytest.raises(RenderFailed, match="OverflowError"):
        render(catalogue, facts)
    assert bounds.LARGEST_MESSAGE < 7 * 500 * 350
    assert bounds.LARGEST_PART > 500 * 351
    assert bounds.MOST_TURNS > 7 * 500


@pytest.mark.parametrize(
    "value",
    ["{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "{{ config }}", "{%raw%}", "{{''.__class__}}"],
)
def test_a_value_that_is_a_template_stays_text(tmp_path: Path, value: str) -> None:
    catalogue = Catalogue.load(folder(tmp_path, "Hello {{ name }}"))
    assert render(catalogue, {"name": value, "items": None}) == f"Hello {value}"


def test_every_message_of_ours_is_far_from_the_bounds() -> None:
    """A bound that a real message meets is a bug of the bound."""
    catalogue = Catalogue.load(Path(__file__).parents[2] / "templates")
    for path in {path for files in catalogue.files.values() for path in files.values()}:
        assert len(path.read_text("utf-8")) < bounds.LARGEST_SOURCE / 10
