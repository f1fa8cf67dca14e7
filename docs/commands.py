"""Runs at the start of each page: a command that cannot run, or crashes, fails the page; exit status 1 is an answer."""

from IPython import get_ipython

shell = get_ipython()
run = shell.system


def run_checked(command):
    run(command)
    status = shell.user_ns["_exit_code"]
    if status not in {0, 1}:
        raise RuntimeError(f"{command!r} ended with {status}")


shell.system = run_checked
