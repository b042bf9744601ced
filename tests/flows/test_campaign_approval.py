"""Approving a campaign: in Prefect's pages, by the command line, or not at all."""

import json
from datetime import timedelta
from typing import Any

import pytest

from signalpost.record import audit
from tests.flows.campaign_house import press_run, take_up

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_server")]


def waiting_id(campaigns: Any) -> str:
    """The flow run that launched, asked, and went on."""
    [run] = campaigns.runs()
    return run.run_id


async def plan_shown(client: Any, flow_run: Any) -> str:
    """Give the text above the form that a suspended flow run shows."""
    key = flow_run.state.state_details.run_input_keyset["description"]
    return json.loads(await client.read_flow_run_input(flow_run.id, key))


def approve_on_record(campaigns: Any, run: Any) -> None:
    from signalpost.services.campaigns import launching

    desk = campaigns.stage.desk
    seen = run.plan["digest"]
    launching.approve(desk, campaign_run_id=run.id, by="omar", seen=seen, now=desk.clock())


def test_a_person_approves_in_the_pages_with_the_plan_in_front_of_them(campaigns):
    """Who, and the digest of what they saw, are on the record; nothing goes out before."""
    campaigns.file("spring", approval="always")
    campaigns.customers(2)

    async def then(worker: Any, client: Any) -> Any:
        waiting = await press_run(worker, client, "spring")
        assert waiting.state.name == "Suspended"
        assert campaigns.stage.sent == []
        await client.resume_flow_run(waiting.id, run_input={"decision": "approve", "by": "Maria"})
        await take_up(worker)
        return await client.read_flow_run(waiting.id)

    flow_run = campaigns.work(then)
    assert flow_run.state.message == "2 sent. Done."
    [run] = campaigns.runs()
    assert ("approved", "Maria") in campaigns.acts(run.id)
    assert len(campaigns.stage.sent) == 2
    with campaigns.stage.database.reading() as session:
        logged = audit.entries(session, subject=f"run:{run.id}")
    known = [(one.action, one.actor, json.loads(one.detail)["by"]) for one in logged[::-1]]
    assert known == [
        ("campaign.launched", f"prefect:{waiting_id(campaigns)}", "prefect"),
        ("campaign.approved", f"prefect:{waiting_id(campaigns)}", "Maria"),
    ], "Prefect does not tell who pressed the button: the name is what they said"


def test_the_plan_stands_above_the_form_and_beside_the_run(campaigns):
    """Its digest too: that is what the approval is of."""
    campaigns.file("spring", approval="always")
    campaigns.customers(2)

    async def then(worker: Any, client: Any) -> Any:
        waiting = await press_run(worker, client, "spring")
        return waiting, await plan_shown(client, waiting), await client.read_artifacts()

    waiting, shown, artifacts = campaigns.work(then)
    [run] = campaigns.runs()
    assert "2 of 2 people would be written to" in shown
    assert run.plan["digest"] in shown
    [plan] = [one for one in artifacts if one.flow_run_id == waiting.id]
    assert (plan.key, plan.type) == ("spring-plan", "markdown")
    assert shown in plan.data


def test_who_refuses_says_why_and_nothing_goes_out(campaigns):
    """The flow run ends with the reason in words."""
    campaigns.file("spring", approval="always")
    campaigns.customers(2)

    async def then(worker: Any, client: Any) -> Any:
        waiting = await press_run(worker, client, "spring")
        answer = {"decision": "refuse", "by": "Maria", "why": "the code is not live yet"}
        await client.resume_flow_run(waiting.id, run_input=answer)
        await take_up(worker)
        return await client.read_flow_run(waiting.id)

    flow_run = campaigns.work(then)
    assert flow_run.state.message == "refused (the code is not live yet)."
    assert campaigns.stage.sent == []
    [run] = campaigns.runs()
    assert ("refused", "Maria") in campaigns.acts(run.id)


def test_nobody_approves_without_a_name(campaigns):
    """Prefect's form refuses it, and the run goes on waiting."""
    campaigns.file("spring", approval="always")
    campaigns.customers(1)

    async def then(worker: Any, client: Any) -> Any:
        waiting = await press_run(worker, client, "spring")
        for answer in ({"decision": "approve"}, {"decision": "approve", "by": ""}, {}):
            result = await client.resume_flow_run(waiting.id, run_input=answer)
            assert result.status.name == "REJECT", answer
        return await client.read_flow_run(waiting.id)

    assert campaigns.work(then).state.name == "Suspended"


def test_an_approval_by_the_command_line_frees_the_flow_run_that_waits(campaigns):
    """It goes on by itself, and the record keeps the name of who approved."""
    campaigns.file("spring", approval="always")
    campaigns.customers(2)

    async def then(worker: Any, client: Any) -> Any:
        waiting = await press_run(worker, client, "spring")
        [run] = campaigns.runs()
        approve_on_record(campaigns, run)
        await worker.campaigns.open()
        await take_up(worker)
        return await client.read_flow_run(waiting.id)

    flow_run = campaigns.work(then)
    assert flow_run.state.message == "2 sent. Done."
    [run] = campaigns.runs()
    approvals = [who for act, who in campaigns.acts(run.id) if act == "approved"]
    assert approvals == ["omar"]


def test_who_approves_a_plan_that_has_changed_is_shown_the_new_one_and_what_is_new(campaigns):
    """Another campaign with the same message was launched meanwhile: they answered something else."""
    from signalpost.services.campaigns import launching
    from signalpost.services.campaigns.runs import Launch

    campaigns.file("spring", approval="always")
    campaigns.file("clash", approval="always")
    campaigns.customers(10)
    desk = campaigns.stage.desk
    at = campaigns.stage.clock.now + timedelta(hours=1)
    answer = {"decision": "approve", "by": "Maria"}

    async def then(worker: Any, client: Any) -> Any:
        asked = await press_run(worker, client, "spring", at=f"{at:%Y-%m-%dT%H:%M}")
        wanted = Launch(campaign=desk.campaigns["clash"])
        launching.launch(desk, launch=wanted, by="omar", now=desk.clock())
        await client.resume_flow_run(asked.id, run_input=answer)
        await take_up(worker)
        again = await client.read_flow_run(asked.id)
        assert again.state.name == "Suspended"
        shown = await plan_shown(client, again)
        await client.resume_flow_run(asked.id, run_input=answer)
        await take_up(worker)
        return shown, await client.read_flow_run(asked.id)

    shown, ended = campaigns.work(then)
    assert "10 of them would get nothing after all" in shown
    assert "clash: 10 people in both; 10 of them will have had the same message" in shown
    assert ended.state.message.startswith("Approved. It begins on")
    run = next(one for one in campaigns.runs() if one.campaign == "spring")
    assert run.plan["digest"] in shown
    assert [act for act, _ in campaigns.acts(run.id)] == ["launched", "planned again", "approved"]


def test_a_launch_by_the_command_line_can_be_approved_in_the_pages(campaigns):
    """The worker gives it a flow run, once, and that one waits for a person."""
    from signalpost.services.campaigns import launching
    from signalpost.services.campaigns.runs import Launch

    campaigns.file("spring", approval="always")
    campaigns.customers(2)
    desk = campaigns.stage.desk
    wanted = Launch(campaign=desk.campaigns["spring"])
    run = launching.launch(desk, launch=wanted, by="omar", now=desk.clock())

    async def then(worker: Any, client: Any) -> Any:
        await worker.campaigns.open()
        await worker.campaigns.open()
        await worker.view.look()
        [asked] = worker.view.wanted_campaigns
        assert (asked.name, asked.parameters["run"]) == ("spring · approval", run.id)
        await take_up(worker)
        await worker.campaigns.open()
        await worker.view.look()
        assert not worker.view.wanted_campaigns, "one form is enough"
        answer = {"decision": "approve", "by": "Maria"}
        await client.resume_flow_run(asked.id, run_input=answer)
        await take_up(worker)
        return await client.read_flow_run(asked.id)

    assert campaigns.work(then).state.message == "2 sent. Done."
    assert ("approved", "Maria") in campaigns.acts(run.id)


def test_an_approved_run_begins_when_its_time_comes(campaigns):
    """Approved ahead, it says when; at that time the worker begins it without anybody asking."""
    campaigns.file("spring", approval="always")
    campaigns.customers(2)
    at = campaigns.stage.clock.now + timedelta(hours=3)

    async def then(worker: Any, client: Any) -> Any:
        waiting = await press_run(worker, client, "spring", at=f"{at:%Y-%m-%dT%H:%M}")
        answer = {"decision": "approve", "by": "Maria"}
        await client.resume_flow_run(waiting.id, run_input=answer)
        await take_up(worker)
        ended = await client.read_flow_run(waiting.id)
        await worker.campaigns.open()
        await take_up(worker)
        assert campaigns.stage.sent == []
        campaigns.stage.clock.now = at
        await worker.campaigns.open()
        await take_up(worker)
        return ended

    ended = campaigns.work(then)
    assert ended.state.message.startswith("Approved. It begins on 02 Mar 2026 at 12:00 UTC")
    assert len(campaigns.stage.sent) == 2


def test_cancelling_the_flow_run_that_waits_for_approval_is_a_no(campaigns):
    """It is on the record as one, and nobody is asked again."""
    from prefect.states import Cancelling

    campaigns.file("spring", approval="always")
    campaigns.customers(1)

    async def then(worker: Any, client: Any) -> Any:
        waiting = await press_run(worker, client, "spring")
        await client.set_flow_run_state(waiting.id, Cancelling())
        await worker.campaigns.open()
        await worker.view.look()
        assert not worker.view.wanted_campaigns

    campaigns.work(then)
    [run] = campaigns.runs()
    assert (run.status, run.reason) == ("refused", "its flow run was cancelled in Prefect")
    assert ("refused", "prefect") in campaigns.acts(run.id)
