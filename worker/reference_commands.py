"""The generated page of commands: every command of ``stanch`` with its arguments and options."""

from collections.abc import Iterator, Sequence

import click

from worker.cli.main import stanch


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command by its words, in the order of the help; groups before what is in them."""
    yield from _within(stanch, "stanch")


def commands_page(generated: str) -> str:
    """The page; ``generated`` is its first line."""
    lines = [generated, "", "# Commands", "", _text(stanch), "", *_options(stanch), ""]
    lines += ["| command | does |", "|---|---|"]
    listed = [(words, command) for words, command in commands() if not isinstance(command, click.Group)]
    for words, command in listed:
        lines.append(f"| [`{words}`](#{words.replace(' ', '-')}) | {_text(command).split(chr(10), 1)[0]} |")
    for words, command in listed:
        usage = " ".join([words, *command.collect_usage_pieces(click.Context(command))])
        lines += ["", f"## {words}", "", f"`{usage}`", "", _text(command), "", *_options(command)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _within(group: click.Group, words: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        yield f"{words} {name}", command
        if isinstance(command, click.Group):
            yield from _within(command, f"{words} {name}")


def _text(command: click.Command) -> str:
    paragraphs = (command.help or "").strip().split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in paragraphs)


def _options(command: click.Command) -> Sequence[str]:
    rows = []
    for option in command.get_params(click.Context(command)):
        record = option.get_help_record(click.Context(command)) if isinstance(option, click.Option) else None
        if record is not None and "--help" not in option.opts:
            spelling, meaning = (" ".join(part.split()).replace("|", "\\|") for part in record)
            rows.append(f"| `{spelling}` | {meaning} |")
    return ["| option | meaning |", "|---|---|", *rows] if rows else []
