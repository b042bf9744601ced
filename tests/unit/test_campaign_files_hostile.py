"""A file that is no campaign, by accident or on purpose, is a problem with a line and nothing worse."""

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalpost.content import Catalogue
from signalpost.content import campaigns as files

ROOT = Path(__file__).parents[2]
CATALOGUE = Catalogue.load(ROOT / "templates")
TEXT = (ROOT / "deployments" / "campaigns" / "win-back.yaml").read_text("utf-8")


def problems(tmp_path, raw, name="win-back.yaml"):
    folder = tmp_path / "campaigns"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(raw.encode() if isinstance(raw, str) else raw)
    found = files.load(folder, CATALOGUE, broken="collect")
    assert not (found.problems and found)
    return found.problems


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)

HOSTILE = [
    (BOMB, 1, "anchor"),
    ("name: win-back\nowner: *me\n", 2, "anchor"),
    ("name: win-back\n<<: {owner: me}\n", 1, "audience"),
    ("name: !!python/object/apply:os.system [echo]\n", 1, "tag"),
    ("name: !!str win-back\n", 1, "tag"),
    ("[" * 5_000, 1, "size"),
    ("a:\n" + "\n".join(" " * n + "- a:" for n in range(2, 90, 2)), 14, "size"),
    ("x: [" + "a, " * 5_000 + "a]", 1, "size"),
    ("# " + "x" * 70_000, 1, "size"),
    ("name: win-back\n---\nname: other\n", 2, "syntax"),
    ("name: win-back\n\tmessage: win_back\n", 2, "syntax"),
    ("name: win-back\nowner: a: b\n", 2, "syntax"),
    ('name: win-back\nowner: "no end\n', 2, "syntax"),
    ('# a comment\n" campaign\nname: win-back\n\n\n', 5, "syntax"),
    ("name: win-back\n? [a, b]\n: c\n", 2, "syntax"),
    ("- name: win-back\n", 1, "syntax"),
    ("win-back\n", 1, "syntax"),
    ("", 1, "empty"),
    ("# nothing but a comment\n", 1, "empty"),
    ("---\n", 1, "empty"),
    (b"name: win-back\nowner: caf\xe9\n", 2, "encoding"),
    (b"\xff\xfen\x00a\x00", 1, "encoding"),
    (b"name: win-back\nowner: a\x00b\n", 2, "character"),
    ('name: win-back\nowner: "a\\0b"\n', 2, "character"),
    ('name: win-back\nowner: "a\\uD800b"\n', 2, "syntax"),
]


@pytest.mark.parametrize(("raw", "line", "rule"), HOSTILE)
def test_what_is_no_campaign_is_refused_by_line_and_at_once(tmp_path, raw, line, rule):
    began = time.process_time()
    found = problems(tmp_path, raw)
    assert time.process_time() - began < 1
    assert (line, rule) in [(problem.line, problem.rule) for problem in found], found
    assert all(problem.remedy for problem in found)


def test_a_tab_is_called_a_tab(tmp_path):
    [problem] = problems(tmp_path, "name: win-back\n\tmessage: win_back\n")
    assert "a tab" in problem.says
    assert "spaces" in problem.remedy


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    assert problems(tmp_path, b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()) == ()


def test_another_ending_is_told_and_hidden_files_are_left_alone(tmp_path):
    [problem] = problems(tmp_path, TEXT, name="win-back.yml")
    assert "rename" in problem.remedy
    (tmp_path / "campaigns" / "win-back.yml").unlink()
    assert problems(tmp_path, "nonsense: [", name=".win-back.yaml") == ()


def test_a_folder_in_place_of_a_file_is_a_problem(tmp_path):
    (tmp_path / "campaigns" / "odd.yaml").mkdir(parents=True)
    found = files.load(tmp_path / "campaigns", CATALOGUE, broken="collect")
    assert [problem.rule for problem in found.problems] == ["file"]


LINES = TEXT.splitlines(keepends=True)
JUNK = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["[", "{", "- ", ": ", "&a ", "*a", "!!int ", "|", "~", "null", "{}", "[]", "999999999y",
         "1e400", "-1", "nan", "\t", "2026-02-30", "{name: x}", "[[x]]", "true", "''"]
    ),
)  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(line=st.integers(0, len(LINES) - 1), junk=JUNK, how=st.sampled_from("vkx"))
def test_whatever_becomes_of_one_line_the_file_is_read_or_refused(tmp_path, line, junk, how):
    """Its value is replaced, or its key, or it is taken out: never a traceback."""
    changed = list(LINES)
    key, colon, value = changed[line].partition(":")
    changed[line] = {"v": f"{key}{colon} {junk}\n", "k": f"{junk}{colon}{value}", "x": ""}[how]
    text = "".join(changed).encode("utf-8", "surrogatepass")
    for problem in problems(tmp_path, text):
        assert 1 <= problem.line <= len(LINES) + 1
        assert problem.says
        assert problem.remedy
