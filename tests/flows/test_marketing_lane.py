"""The lane of marketing under Prefect: a journey there is a run like any other."""

from datetime import timedelta
from typing import Any

import pytest

from tests.flows.test_runs import newest_run

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_server")]


def test_reminders_of_carts_are_one_run_of_the_marketing_lane(house):
    """Five carts were left an hour ago; the reminders go out in one run, named in plain words."""
    left = house.stage.clock() - timedelta(hours=1)
    for number in range(5):
        house.stage.signal(
            "cart.updated",
            user_id=f"u{number}",
            email=f"u{number}@example.com",
            items=[{"name": "Harbour trainers", "quantity": 1, "price": 89}],
            traits={"marketing_consent": True, "timezone": "UTC"},
            at=left,
        )

    async def then(worker: Any, client: Any) -> Any:
        await worker.view.look()
        while await worker.round():
            pass
        return await newest_run(client, "abandoned-cart")

    run = house.work("marketing", then)
    assert run.name == "abandoned-cart · 5 customers"
    assert {"lane:marketing", "journey:abandoned-cart"} <= set(run.tags)
    assert run.state_name == "Completed"
    assert sorted(one.channel for one in house.stage.sent) == ["email"] * 5 + ["in_app"] * 5
    assert house.run_ids() == {str(run.id)}
