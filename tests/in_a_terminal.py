"""The command as a terminal starts it, where Ctrl-C ends it; a job in the background, as tests may be, ignores it."""

import sys

START = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); sys.argv[0] = 'initbench'; "
    "from initbench.cli import main; main()"
)
INITBENCH = [sys.executable, "-c", START]
