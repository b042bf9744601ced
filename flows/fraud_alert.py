"""A suspicious transaction: ask the customer, and act on the answer or on the silence.

Sources: SC-05, SC-06, R-24 to R-32, R-38, R-39, R-58, R-66. The text message carries no link, so that
a genuine one differs from a phishing one; the in-app mirror carries the link to the agent.
"""

from prefect import flow

from flows.batch import NO_RESULTS, advance_batch
from signalpost.domain.conditions import answer, fact
from signalpost.domain.journey import (
    EMAIL,
    IN_APP,
    SMS,
    Ask,
    Branch,
    Call,
    CloseCase,
    Exit,
    HandOff,
    Journey,
    OpenCase,
    Send,
    WaitForAnswer,
    days,
    every,
    first,
    minutes,
)
from signalpost.domain.vocabulary import Lane

FRAUD_ALERT = Journey(
    name="fraud-alert",
    lane=Lane.RISK,
    starts_on="fraud.signalled",
    key="transaction_id",  # a second signal for the same transaction joins the case
    steps=[
        OpenCase("fraud", team="fraud", reason="suspicious transaction"),
        Ask(
            "fraud_alert",
            via=every(first(SMS, EMAIL), IN_APP),
            within=minutes(5),
            otherwise=[
                Ask(
                    "fraud_alert",
                    via=every(IN_APP, EMAIL),
                    within=minutes(10),
                    otherwise=[
                        HandOff(
                            "fraud",
                            team="fraud",
                            reason="no answer within 15 minutes",
                            priority="high",
                            to_on_call=True,
                        ),
                        WaitForAnswer(
                            "fraud_alert",
                            within=days(7),
                            otherwise=[Exit("never answered; the case stays with a person")],
                        ),
                    ],
                )
            ],
        ),
        Branch(
            answer("fraud_alert") == "yes",
            then=[
                CloseCase("fraud", outcome="cleared"),
                Send("fraud_cleared", via=every(first(SMS, EMAIL), IN_APP)),
                Exit("cleared"),
            ],
        ),
        Call(
            "block_card",
            facts=("transaction_id", "merchant", "amount", "occurred_at"),
        ),
        HandOff(
            "fraud",
            team="fraud",
            reason="the customer did not make this transaction",
            priority="high",
            outcome="confirmed_fraud",
            promise_in=5,  # working days until the new card is there (SC-05: 3 to 5)
        ),
        Branch(
            # We say that the card is blocked only when it is.
            fact("block_card") == "done",
            then=[Send("fraud_confirmed", via=every(first(SMS, EMAIL), IN_APP))],
            otherwise=[
                HandOff(
                    "fraud",
                    team="fraud",
                    reason="the card could not be blocked automatically",
                    priority="high",
                    to_on_call=True,
                )
            ],
        ),
    ],
)


@flow(name=FRAUD_ALERT.name, **NO_RESULTS)
async def fraud_alert(claim_id: str | None = None) -> None:
    """Ask the customer about a suspicious transaction, and act on the answer or the silence.

    Advances the customers of a claim; without one, everybody who is due in this journey.
    """
    await advance_batch(FRAUD_ALERT, claim_id)
