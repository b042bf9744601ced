"""The question whether a campaign may go: a form in Prefect's pages, with the plan above it."""

from dataclasses import dataclass
from typing import Literal

from prefect.flow_runs import asuspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from signalpost.services.campaigns.plan import Plan
from signalpost.services.campaigns.runs import Run


class Approval(RunInput):
    """What a person fills in."""

    decision: Literal["approve", "refuse"] = Field(
        title="Decision", description="Approve: it goes out as planned above."
    )
    by: str = Field(
        title="Your name", description="Kept on the record.", min_length=1, max_length=100
    )
    why: str = Field(
        default="", title="Why", description="For whoever asked, when you refuse.", max_length=500
    )


@dataclass(frozen=True)
class Answer:
    """What was decided, by whom, and the digest of the plan that they saw."""

    decision: str
    by: str
    why: str
    seen: str


async def ask(run: Run) -> Answer:
    """Suspend the flow run until a person answers; called again after that, give the answer.

    Prefect ends the run's code here and starts the flow anew once it is resumed. The key makes it the
    same question as long as the plan is the same, and another one when it has changed.
    """
    plan = Plan.from_json(run.plan)
    form = Approval.with_initial_data(description=plan.markdown())
    given = await asuspend_flow_run(wait_for_input=form, key=f"approval-{plan.digest[:16]}")
    return Answer(given.decision, given.by.strip(), given.why.strip(), plan.digest)
