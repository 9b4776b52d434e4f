"""Break every rule in a copy of the tree, one at a time, and see its test fail.

``python -m tests.mutations [words of a rule]``; the exit code is 0 when every break was noticed.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutations.rules import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
LIMIT_S = 600


def noticed(tree: Path, mutation: Mutation) -> bool:
    """Break one rule, run its test, mend it again; say whether the test failed."""
    file = tree / mutation.path
    whole = file.read_text(encoding="utf-8")
    file.write_text(whole.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutation.test],
            cwd=tree, capture_output=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
    finally:
        file.write_text(whole, encoding="utf-8")
    # 1 says that a test failed; anything else, that none ran.
    return done.returncode == 1


def main(wanted: str) -> int:
    """Try every mutation whose rule has these words in it."""
    missed = 0
    with TemporaryDirectory(prefix="rooms-mutations-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        for mutation in MUTATIONS:
            if wanted in mutation.rule:
                seen = noticed(tree, mutation)
                missed += not seen
                sys.stdout.write(f"{'noticed' if seen else 'MISSED '}  {mutation.rule}\n")
                sys.stdout.flush()
    return missed


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
