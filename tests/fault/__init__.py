"""Stories: a workload of several instances, faults by a seeded plan, and an oracle that says what must be true."""
