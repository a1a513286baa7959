"""How workflow code runs: in Temporal's sandbox, with the modules that must not be loaded again in it."""

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

PASSED_THROUGH = (
    # Takes a lock when it compiles a template, which the sandbox refuses.
    "jinja2",
    "markupsafe",
    # Canonical JSON and Ed25519, for the digests and the signatures of decisions.
    "rfc8785",
    "cryptography",
    # Pure by house rule; loading it anew for each run costs a second.
    "playbooks",
)


def workflow_runner() -> SandboxedWorkflowRunner:
    """The one runner of workers and of the replayer: with another one a replay fails by itself."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH))
