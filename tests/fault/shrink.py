"""The shortest story: faults are taken away one by one, as long as what is left still does not end well."""

from collections.abc import Callable

from tests.fault.plan import Plan

Fails = Callable[[Plan], bool]


def shortest(plan: Plan, fails: Fails) -> Plan:
    """Return the plan with only those faults without which `fails` no longer says so."""
    for fault in plan.faults:
        without = plan.with_faults([one for one in plan.faults if one is not fault])
        if fails(without):
            plan = without
    return plan
