"""How workflow code runs: in Temporal's sandbox, with the modules that must not be loaded again in it."""

import pkgutil

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

import workflows

OWN_COPY = frozenset({"incident", "playbook_run"})
"""Modules of ``workflows`` that hold a workflow: each run loads its own copy, under the sandbox's restrictions."""

PASSED_THROUGH = (
    # Takes a lock when it compiles a template, which the sandbox refuses.
    "jinja2",
    "markupsafe",
    # Canonical JSON and Ed25519, for the digests and the signatures of decisions.
    "rfc8785",
    "cryptography",
    # Pure by house rule; loading them anew for each run costs it half a second before its first step, and memory
    # as long as it is cached.
    "playbooks",
    *(f"workflows.{part.name}" for part in pkgutil.iter_modules(workflows.__path__) if part.name not in OWN_COPY),
)


def workflow_runner() -> SandboxedWorkflowRunner:
    """The one runner of workers and of the replayer: with another one a replay fails by itself."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH))
