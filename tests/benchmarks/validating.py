"""``python -m tests.benchmarks.validating``: what it costs to validate a playbook of 200 steps, after start-up.

Each round is a process of its own that has imported everything and validated nothing yet, as when an author asks once.
"""

import statistics
import subprocess
import sys
import time

from activities.catalog import CATALOG
from playbooks.compile import validate
from playbooks.loader import Library, load_text
from playbooks.problems import Problem

GOAL = 50
"""Milliseconds."""
ROUNDS = 15
PARTS = 10
_PART = """
- {id: logsN, phase: triage, action: salesforce.collect_event_logs, with: {since: "{{ incident.first_seen - hours(24) }}"}}
- {id: tokensN, action: salesforce.list_oauth_tokens, with: {app: "{{ inputs.app }}"}}
- parallel:
    jobs:
      - {id: jobsN, action: salesforce.list_bulk_jobs, with: {users: "{{ steps.tokensN.users }}", states: [InProgress]}}
    sessions:
      - {id: sessionsN, action: salesforce.list_sessions, with: {users: "{{ steps.tokensN.users }}"}}
- id: goN
  approve: [abortN, revokeN, endN]
  by: {roles: [crm_owner], count: 2}
  within: 15m
  on_timeout: [{escalate: incident_commander, within: 15m}, deny]
- {id: abortN, phase: contain, action: salesforce.abort_bulk_jobs, with: {targets: "{{ steps.jobsN.targets }}"}}
- {id: revokeN, phase: contain, action: salesforce.revoke_oauth_tokens_of_app, with: {app: "{{ inputs.app }}"}}
- {id: endN, phase: contain, action: salesforce.end_sessions, with: {targets: "{{ steps.sessionsN.targets }}"}}
- id: blockN
  when: "{{ steps.goN.approved }}"
  human: 'Setup > Connected Apps OAuth Usage > Block "{{ inputs.app }}"'
  owner: crm_owner
  verify: {action: salesforce.count_oauth_tokens, with: {app: "{{ inputs.app }}"}, until: "{{ result.count == 0 }}"}
  within: 2h
  on_timeout: [continue]
- choose:
    - when: "{{ incident.severity >= 5 }}"
      do:
        - {tell: "{{ incident.title }}: {{ steps.tokensN.count }} tokens", to: incident_commander}
    - else:
        - {note: Not severe.}
- id: settleN
  repeat:
    do:
      - {id: leftN, action: salesforce.count_oauth_tokens, with: {app: "{{ inputs.app }}"}}
    until: "{{ steps.leftN.count == 0 }}"
    at_most: 5
    every: 1m
- if: "{{ steps.leftN.count > 0 and incident.severity > 2 }}"
  then:
    - id: askN
      ask: Go on?
      by: {roles: [incident_commander]}
      form: {sure: {type: boolean}, number: {type: integer, required: false}}
      within: 1h
      on_timeout: [unanswered]
    - {note: "{{ steps.askN.number | default(0) }}"}
- {set: {incident.subjects: "{{ steps.tokensN.count }}"}}
- for_each: [Data Loader, Sync]
  id: eachN
  action: salesforce.count_oauth_tokens
  with: {app: "{{ item }}"}
- {id: waitN, wait: {event: vendor}, within: 1h, on_timeout: [continue]}
"""


def large() -> str:
    """A playbook of 200 steps and more, of all kinds that need nothing from elsewhere."""
    steps = "".join(_PART.replace("N", str(number)) for number in range(PARTS)).splitlines()
    head = "stanch: 1\nid: large\nversion: 1.0.0\ntitle: Large\ninputs:\n  app: {type: string}\nsteps:\n"
    return head + "".join(f"  {line}\n" for line in steps if line) + "always:\n  - draft: applicable\n"


def judged(text: str) -> tuple[int, list[Problem]]:
    """How many steps it has, and every problem."""
    source, problems = load_text(text, "large.yaml")
    if source is None:
        return 0, problems
    found = validate(source, library=Library.of(), actions=CATALOG.facts())
    return sum(1 for _ in source.playbook.walk()), found


def once() -> float:
    """Processor milliseconds of one validation."""
    text = large()
    CATALOG.facts()
    began = time.process_time()
    judged(text)
    return (time.process_time() - began) * 1000


def main() -> None:
    """Measure and tell."""
    if sys.argv[1:] == ["once"]:
        sys.stdout.write(f"{once()}\n")
        return
    command = [sys.executable, "-m", "tests.benchmarks.validating", "once"]
    found = [float(subprocess.run(command, capture_output=True, check=True, text=True).stdout) for _ in range(ROUNDS)]
    steps, _ = judged(large())
    told = f"{statistics.median(found):.0f} ms, {min(found):.0f} to {max(found):.0f}; goal {GOAL}"
    sys.stdout.write(f"validating {steps} steps, first time in a process: {told}\n")


if __name__ == "__main__":
    main()
