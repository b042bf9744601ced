"""What happens and in which order: one file a journey, with the flow that runs it."""

from flows.abandoned_cart import ABANDONED_CART
from flows.fraud_alert import FRAUD_ALERT
from flows.pickup_follow_up import PICKUP_FOLLOW_UP
from flows.purchase_follow_up import PURCHASE_FOLLOW_UP

JOURNEYS = (PURCHASE_FOLLOW_UP, PICKUP_FOLLOW_UP, ABANDONED_CART, FRAUD_ALERT)
