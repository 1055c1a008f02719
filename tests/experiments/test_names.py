"""The names that `cmmlib.experiments` offers, which cost nothing until they are used."""

import subprocess
import sys


def test_the_package_alone_imports_nothing_heavy():
    script = "import cmmlib.experiments, sys; print([m for m in ('torch', 'numpy', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
