"""People through journeys: claimed, decided on by the gate, sent to, and moved on."""
