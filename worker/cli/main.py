"""The command ``stanch``: a table of commands, each imported only when it is called."""

import errno
import importlib
import os
import re
import sys

import click

from worker.cli.output import JSON_KEY, Refused, report

COMMANDS = {
    "demo": ("worker.cli.demo:demo", "Watch an alert become a contained incident, in a simulated world."),
    "up": ("worker.cli.serving:up", "Run everything on this machine, for real."),
    "worker": ("worker.cli.serving:worker", "Run the process that works: workflows and actions."),
    "serve": ("worker.cli.serving:serve", "Run the process that answers: /v1, alerts, notices."),
    "doctor": ("worker.cli.doctor:doctor", "Check connections, clocks and tuning, and how to mend them."),
    "incident": ("worker.cli.incident:incident", "Start, look at and decide incidents."),
    "decision": ("worker.cli.decision:decision", "What waits for people."),
    "playbook": ("worker.cli.playbook:playbook", "List, check and preview playbooks."),
    "new": ("worker.cli.new:new", "Begin a package of your own, with an action, a playbook and tests."),
    "people": ("worker.cli.people:people", "People, roles, tokens."),
    "slack": ("worker.cli.slack:slack", "Slack: the app's manifest, who is who there, and the switch."),
    "oncall": ("worker.cli.oncall:oncall", "Who is on call per role."),
    "hold": ("worker.cli.hold:hold", "Stop every new effect, everywhere, at once."),
    "standing": ("worker.cli.standing:standing", "Approvals in advance: give, list, revoke."),
    "alert": ("worker.cli.alert:alert", "Check and send alerts."),
    "clock": ("worker.cli.clock:clock", "When a notification is due."),
    "regimes": ("worker.cli.regimes:regimes", "Reporting duties that Stanch knows."),
    "draft": ("worker.cli.draft:draft", "Draft a notification from a facts file."),
    "evidence": ("worker.cli.evidence:evidence", "Verify an exported bundle."),
    "replay": ("worker.cli.replay:replay", "Replay stored histories against the installed code."),
}
"""Command to where it lives and its line in the help: the help needs no import."""


_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
UNTOUCHED = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
"""Errors of a file that come before anything is read or written."""
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Table(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"stanch {version('stanch')}")
        ctx.exit()


@click.group(cls=Table, context_settings=CONTEXT)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Version.")
def stanch() -> None:
    """Incident response for CRM and AI systems: durable playbooks, people in control, a provable record.

    You are who STANCH_TOKEN says (`stanch people token NAME` makes one). Settings: stanch.toml here, or
    STANCH_CONFIG; state in STANCH_HOME, by default .stanch here. With --json stdout holds one document.

    Exit 0 fine, 1 refused or failed, 2 wrong usage, 3 integrity broken.
    """


def run(arguments: list[str] | None = None) -> None:
    """Entry point: runs a command and leaves at once, whatever threads of the engine are still there."""
    from worker.leave import leave

    leave(execute(sys.argv[1:] if arguments is None else arguments))


def execute(arguments: list[str]) -> int:
    """Run one command line and return its exit code; nothing escapes as a traceback."""
    as_json = "--json" in arguments
    if any(_NO_TEXT.search(word) for word in arguments):
        said = "An argument holds bytes that are no text. Nothing was done."
        return report(Refused("bad_value", said, exit_code=2), as_json=as_json)
    try:
        with stanch.make_context("stanch", list(arguments)) as ctx:
            stanch.invoke(ctx)
            as_json = as_json or bool(ctx.meta.get(JSON_KEY))
        return 0
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.ClickException as error:
        if as_json:
            return report(Refused("usage", error.format_message(), exit_code=error.exit_code), as_json=True)
        error.show()
        return error.exit_code
    except Refused as refused:
        return report(refused, as_json=as_json)
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nstanch: stopped.", err=True)
        return 130
    except BrokenPipeError:
        # The reader of a pipe has left; what it did not want is not worth a message.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        return 0
    except Exception as error:
        return report(_unexpected(error), as_json=as_json)


def _unexpected(error: Exception) -> Refused:
    if os.environ.get("STANCH_DEBUG"):
        import traceback

        traceback.print_exc()
    desk = getattr(error, "next_step", None)
    code = getattr(error, "code", None)
    if desk is not None and isinstance(code, str):
        return Refused(code, str(error), desk, details=getattr(error, "details", None))
    if isinstance(code, str):
        return Refused(code, str(error), exit_code=2 if code == "settings" else 1)
    if isinstance(error, OSError) and error.filename is not None:
        done = "Nothing was done." if error.errno in UNTOUCHED else "What was begun may be incomplete."
        return Refused("file", f"{str(error.filename)[:300]}: {error.strerror}. {done}")
    return Refused(
        "internal",
        f"Stanch failed here: {type(error).__name__}: {str(error)[:300]}",
        "Set STANCH_DEBUG=1 to see where, and report it.",
    )


if __name__ == "__main__":
    run()
