"""The demonstration: two instances and an authority share real knowledge and live through an outage."""
