"""Our OpenAPI against the running routes: Schemathesis asks what the description allows, and what not.

Bounded and without chance: the same few requests each time. Every answer must be one that the
description names, of the shape that it gives, and none may be a fault of ours.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import hypothesis
import pytest
from hypothesis import errors
from hypothesis import strategies as st

from tests.integration.front_harness import READ_KEY, Front, open_front

schemathesis = pytest.importorskip("schemathesis")
checks = pytest.importorskip("schemathesis.checks")
generation = pytest.importorskip("schemathesis.generation")

EXAMPLES = 12
CHECKS = [
    checks.not_a_server_error,
    *(
        check
        for check in checks.CHECKS.get_all()
        if check.__name__
        in (
            "status_code_conformance",
            "content_type_conformance",
            "response_headers_conformance",
            "response_schema_conformance",
            "negative_data_rejection",
            "unsupported_method",
        )
    ),
]
ANN = {
    "type": "track",
    "event": "Order Completed",
    "userId": "ann",
    "timestamp": "2026-03-02T09:00:00Z",
    "context": {"traits": {"email": "ann@example.com", "first_name": "Ann"}},
    "properties": {"order_id": "o-1", "total": 5, "currency": "USD"},
}


class Described:
    """The front door, its description, and somebody who is on the record."""

    def __init__(self, front: Front) -> None:
        self.front = front
        assert front.batch(ANN).status_code == 200
        front.stage.run_due()
        key = {"Authorization": f"Bearer {READ_KEY}"}
        made = front.client.post("/v1/inbox/tokens", json={"user_id": "ann"}, headers=key)
        self.bearers = {"key": READ_KEY, "inboxToken": made.json()["token"]}
        found = front.client.post(
            "/v1/customers/lookup", json={"kind": "user_id", "value": "ann"}, headers=key
        )
        theirs = {"Authorization": f"Bearer {self.bearers['inboxToken']}"}
        [item] = front.client.get("/v1/inbox", headers=theirs).json()["items"]
        self.known = {"customer_id": found.json()["customer_id"], "item_id": item["id"]}
        self.raw = front.client.get("/openapi.json").json()
        self.schema = schemathesis.openapi.from_dict(self.raw)
        self.schema.app = front.client.app

    def bearer(self, operation: Mapping[str, Any]) -> str:
        [scheme] = operation["security"][0]
        return self.bearers[scheme]


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def described(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Described]:
    postgres: Any = None
    if request.param == "postgres":
        postgres = request.getfixturevalue("postgres_home")
    url = postgres.furnished() if postgres else None
    with open_front(
        tmp_path_factory.mktemp("openapi"), url, request_rate=1e6, address_rate=1e6
    ) as front:
        yield Described(front)
    if postgres:
        postgres.sweep()


def test_whatever_the_description_allows_or_forbids_is_answered_as_it_says(
    described: Described,
) -> None:
    asked: set[int] = set()
    for found in described.schema.get_all_operations():
        operation = found.ok()
        bearer = described.bearer(operation.definition.raw)
        if operation.path.endswith("/inbox/events"):
            bearer = "none"  # with a good token it would never end
        for mode in generation.GenerationMode:
            cases = operation.as_strategy(generation_mode=mode)
            _ask(cases, bearer, described.known, asked)
    assert asked >= {200, 204, 401, 404, 422}


def _ask(cases: Any, bearer: str, known: Mapping[str, str], asked: set[int]) -> None:
    @hypothesis.given(case=cases, is_known=st.booleans())
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),  # type: ignore[arg-type]
    )
    def ask(case: Any, is_known: bool) -> None:
        if is_known:
            for name in known.keys() & (case.path_parameters or {}).keys():
                case.path_parameters[name] = known[name]
        answer = case.call(headers={"Authorization": f"Bearer {bearer}", "Host": "localhost"})
        asked.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    with suppress(errors.Unsatisfiable):  # there is nothing that it forbids
        ask()


def test_every_json_route_is_described_with_who_may_call_it(described: Described) -> None:
    paths = described.raw["paths"]
    assert {"/v1/customers/{customer_id}", "/v1/campaigns", "/v1/inbox/tokens"} <= set(paths)
    for path, operations in paths.items():
        for method, operation in operations.items():
            [[scheme]] = [list(one) for one in operation["security"]]
            if scheme == "key":
                assert re.search(r"scopes: .*admin", operation["description"]), (method, path)
            for status in ("400", "401", "403", "422", "429", "503"):
                assert "application/problem+json" in operation["responses"][status]["content"]


def test_the_description_holds_nothing_of_the_record_and_is_open(described: Described) -> None:
    answer = described.front.client.get("/openapi.json")
    assert answer.status_code == 200
    assert "ann@example.com" not in answer.text
    assert READ_KEY not in answer.text
