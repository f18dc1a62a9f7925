"""Options and commands that initbench does not have, as other programs' users type them: what to type instead."""

from collections.abc import Iterable, Sequence

from initbench.errors import nearest

COMMANDS = {  # words for what a command does
    "run": ("train", "fit", "sweep", "tune", "start", "experiment", "launch", "bench", "benchmark"),
    "plan": ("dry-run", "preview", "check", "estimate"),
    "list": ("ls", "show", "help-init", "choices", "inits"),
    "report": ("plot", "compare", "summary", "results", "evaluate", "eval", "analyze", "analyse", "view"),
}
SHORT = {"-m": "multirun", "-cn": "config_name", "-cp": "config_path", "-c": "cfg", "-o": "out", "-j": "workers"}
SHORT |= {"-n": "name", "-f": "fresh", "-s": "seed", "-e": "epochs", "-b": "batch_size", "-v": "verbose", "-d": "data"}


def instead_of_option(option: str, words: Sequence[str], options: Iterable[str], *, overrides: bool) -> str:
    """What to say of an option that a command does not have: `--init he` is `init=he`.

    words: of the whole command line. overrides: whether the command takes `key=value`.
    """
    from initbench.config.elsewhere import here

    word, value = _as_typed(option, words)
    name = SHORT.get(word, word.lstrip("-"))
    hint = here(name, value) if overrides else None
    if hint and f"did you mean {word} " in hint:  # another command has it
        hint = None
    return f"{word}: there is no such option{hint or nearest(word, options, 'see --help')}"


def _as_typed(option: str, words: Sequence[str]) -> tuple[str, str]:
    """The whole word of an option, of which the parser may have read the first letter, and the value behind it."""
    for n, each in enumerate(words):
        word, equals, value = each.partition("=")
        if word == option or (not option.startswith("--") and each.startswith(option)):
            after = words[n + 1] if n + 1 < len(words) else ""
            return word, value if equals or after.startswith("-") or "=" in after else after
    return option, ""


def instead_of_command(word: str, commands: Iterable[str]) -> str:
    """What to say of a word that stands where a command should."""
    if "=" in word:
        return f"'{word}': a command comes first; did you mean 'initbench run {word}'?"
    for command, others in COMMANDS.items():
        if word.casefold() in others:
            return f"'{word}': there is no such command; did you mean 'initbench {command}'?"
    return f"'{word}': there is no such command{nearest(word, commands)}"
