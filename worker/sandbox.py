"""How workflow code runs: at work directly, in tests within Temporal's sandbox.

The sandbox loads the workflows anew for every run, and steps in and out for every payload: most of the time to a
run's first step, and a third of the processor time of all that follow. What it would refuse is kept out by tests
instead: by house rule, and by replaying in it what ran without it (``docs/decisions/0004-…``).
"""

from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

PASSED_THROUGH = (
    # Takes a lock when it compiles a template, which the sandbox refuses.
    "jinja2",
    "markupsafe",
    # Canonical JSON and Ed25519, for the digests and the signatures of decisions.
    "rfc8785",
    "cryptography",
    # Pure by house rule.
    "playbooks",
)


def workflow_runner() -> WorkflowRunner:
    """The one runner of workers and of the replayer."""
    return UnsandboxedWorkflowRunner()


def strict_runner() -> SandboxedWorkflowRunner:
    """The sandbox, for tests: workflow code that asks anything of the machine fails in it."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH))
