"""Scans that need no network: secrets in the repository, holes in the linter, versions that float."""

import importlib.util
import math
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: What a secret looks like. Made-up ones of tests are as short as a shape allows, or listed below.
SECRETS = {
    "a private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "an AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a SendGrid key": r"\bSG\.[\w-]{16,}\.[\w-]{16,}",
    "a Twilio key with its secret": r"\bSK[0-9a-f]{32}\b[^\n]{0,40}\b[0-9A-Za-z]{32}\b",
    "a Slack token": r"\bxox[abprs]-[\w-]{10,}",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{40,}",
    "a GitLab token": r"\bglpat-[\w-]{20,}",
    "a Google key": r"\bAIza[\w-]{35}\b",
    "a Stripe key": r"\b[rs]k_live_\w{16,}",
    "a Prefect key": r"\bpn[ub]_\w{30,}",
    "a package index's token": r"\bpypi-[\w-]{40,}",
    "a JSON web token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    "a key of ours": r"\bsp[wr]_[\w-]{24,}|\bspk_[0-9a-f]{16}_[0-9a-f]{64}",
    "a webhook secret of ours": r"\bwhsec_[A-Za-z0-9+/]{32,}={0,2}",
    "a password in an address": r"\b[a-z][a-z0-9+]*://[^\s:/@'\"{}<>]+:[^\s:/@'\"{}<>]{3,}@[\w.-]+",
}
#: Found on purpose: examples of documentation and specifications, and passwords of nobody.
KNOWN = re.compile(
    r"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the example of the Standard Webhooks specification
    r"|whsec_c29tZWJvZHkgZWxzZXM="  # "somebody elses", of a test
    r"|://(?:user|me|name|signalpost|postgres|prefect|ann|shop|x):"  # placeholders
)
ENTROPY = 4.2  #: bits a letter; words have 3.5, keys of 32 letters and more about 5
_QUOTED = re.compile(
    r"""(?i)\b(?:password|passwd|secret|token|api_?key|auth)\w*["']?\s*[:=]\s*["']([^"'\s]{24,})["']"""
)


def tracked() -> Iterator[tuple[str, str]]:
    """Every file that git keeps, and that is text."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, text=True
    )
    if listed.returncode:
        pytest.skip("this is no git checkout: there is no list of files to look through")
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        if name and path.is_file() and path.suffix not in (".gz", ".png", ".ico"):
            yield name, path.read_text("utf-8", errors="replace")


def entropy(text: str) -> float:
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def secrets_in(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > 20_000:
            continue  # a vendored script in one line
        for what, pattern in SECRETS.items():
            if re.search(pattern, line) and not KNOWN.search(line):
                yield f"{name}:{number}: {what}"
        for found in _QUOTED.finditer(line):
            if entropy(found[1]) > ENTROPY and not KNOWN.search(line):
                yield f"{name}:{number}: looks like a secret"


def test_no_secret_is_in_the_repository() -> None:
    found = [
        one
        for name, text in tracked()
        if name != "tests/unit/test_scans.py"
        for one in secrets_in(name, text)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "-----BEGIN EC PRIVATE " + "KEY-----",
        "aws = AKIA" + "ABCDEFGHIJKLMNOP",
        "SG." + "x7Qm2LkD9vTzPq4RfWbA" + "." + "n3YhUjM8eCsGt5Kd",
        "url = postgresql://admin:" + "hunter22@db.internal/x",
        'api_key = "' + "q7ZtR9xWm2LkPd4VbNc8HsYf1JgT6EuA" + '"',
        "whsec_" + "Q29ycmVjdEhvcnNlQmF0dGVyeVN0YXBsZQ==",
    ],
)
def test_the_scan_finds_what_it_is_there_for(line: str) -> None:
    assert list(secrets_in("x", line))


def test_no_file_that_should_stay_outside_is_kept() -> None:
    bad = re.compile(
        r"(^|/)(\.env(\..*)?|keys\.json|id_(rsa|ed25519)|.*\.(pem|p12|pfx|key)|\.netrc|\.pypirc)$"
    )
    assert [name for name, _ in tracked() if bad.search(name)] == []


def test_the_linter_looks_for_unsafe_code_everywhere_but_in_tests_and_benchmarks() -> None:
    """Ruff's S rules are bandit's: they hold in whatever is shipped, one exception beside each line."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert [rule for rule in lint["ignore"] if rule.startswith("S")] == ["S311"]  # sampling
    loose = {path for path, rules in lint["per-file-ignores"].items() if "S" in rules}
    assert loose == {"tests/**", "benchmarks/**"}


#: SQL made of the names of our own tables and columns, line after line: the module says it once.
OWN_NAMES = ("signalpost/record/copying.py", "signalpost/simulation/")


def test_every_exception_from_the_safety_rules_says_why() -> None:
    bare = [
        f"{name}:{number}"
        for name, text in tracked()
        if name.endswith(".py") and not name.startswith(("tests/", "benchmarks/", *OWN_NAMES))
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(r"#\s*noqa:[^#]*\bS\d+", line)
        and not re.search(r"\bS\d+\s*(?:-|\(|#)\s*\w", line)
    ]
    assert bare == []


def test_nothing_shipped_calls_what_runs_text_as_code() -> None:
    forbidden = re.compile(
        r"(?<![\w.])(?:eval|exec)\(|\bpickle\.loads?\(|\byaml\.(?:unsafe_)?load\(|shell=True"
        r"|\bos\.system\(|\bmarshal\.loads?\(|verify=False|ssl=False|_create_unverified_context"
    )
    found = [
        f"{name}:{number}"
        for name, text in tracked()
        if name.endswith(".py") and name.startswith(("signalpost/", "flows/", "tasks/"))
        for number, line in enumerate(text.splitlines(), 1)
        if forbidden.search(line)
    ]
    assert found == []


def test_every_dependency_has_one_tested_version() -> None:
    """Nothing floats: an update is a change that somebody reads."""
    pinned = {
        re.sub(r"[-_.]+", "-", line.partition("==")[0].partition("[")[0]).lower()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["postgres"],
        *project["dependency-groups"]["dev"],
    ]
    names = {re.split(r"[<>=!~\[; ]", one, maxsplit=1)[0] for one in wanted}
    assert {name for name in names if re.sub(r"[-_.]+", "-", name).lower() not in pinned} == set()


def test_no_dependency_has_a_known_hole() -> None:
    """Needs the advisories, and so the network: set SIGNALPOST_TEST_ADVISORIES=1 where there is one."""
    if importlib.util.find_spec("pip_audit") is None:
        pytest.skip("pip-audit is not installed; `pip install pip-audit` and run this again")
    if os.environ.get("SIGNALPOST_TEST_ADVISORIES") != "1":
        pytest.skip("asks for advisories over the network; set SIGNALPOST_TEST_ADVISORIES=1")
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "constraints.txt")]
    done = subprocess.run(
        [*command, "--disable-pip", "--no-deps"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
