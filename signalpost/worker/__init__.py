"""The long-lived process of a lane: it claims people who are due and runs their flow in Prefect.

``environment``  the settings of Prefect in our processes
``deployments``  what ``deployments/prefect.yaml`` says; ``campaign_deployments``: what the campaign
                 files add, with ``campaign_schedules``
``registering``  telling Prefect about it, and leaving alone what an operator changed there
``client``       the one client that all runs of the process share
``runs``         one flow run, in this process
``prefect_view`` what Prefect says now: paused, asked for by hand, away
``sweep``        closing the runs of workers that were killed
``diagrams``     each journey drawn, for Prefect's pages
``wake``         when to look for due people again
``lane``         the loop that joins these; ``chores``: what is done now and then beside it
``campaigns``    campaigns beside that loop: ``campaign_runs`` sees that each has its flow run,
                 ``elsewhere`` asks other pools for shards, ``campaign_artifacts`` shows how far it is
``process``      the process around the loop

Nothing here is imported before it is needed: ``import prefect`` takes more than a second.
"""

from signalpost.worker.environment import prefect_environment
from signalpost.worker.process import register, run

__all__ = ["prefect_environment", "register", "run"]
