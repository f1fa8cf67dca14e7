"""Counts the blocks of code in docs/ that run when the site is built, and those that do not.

python docs/blocks.py [PERCENT]: exits with 1 where more than so many percent do not run.
"""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
RUN = re.compile(r"^```\{code-cell\}", re.M)
NOT_RUN = re.compile(r"^```(?:python|py|pycon|sh|bash|shell|console)$", re.M)


def count(most=100.0):
    """Prints both numbers, and where blocks do not run; returns whether their share is within `most` percent."""
    run = not_run = 0
    for page in sorted(DOCS.rglob("*.md")):
        if "_build" in page.parts:
            continue
        text = page.read_text()
        run += len(RUN.findall(text))
        plain = len(NOT_RUN.findall(text))
        not_run += plain
        if plain:
            print(f"{page.relative_to(DOCS)}: {plain} not run")
    share = 100 * not_run / max(run + not_run, 1)
    print(f"{run} blocks of code ran, {not_run} are marked as not run ({share:.1f}%; at most {most:g}%)")
    return share <= most


if __name__ == "__main__":
    sys.exit(0 if count(*map(float, sys.argv[1:])) else 1)
