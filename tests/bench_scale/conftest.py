"""The benchmark is run from the root of the repository, as `tests.bench_scale`: so its tests find it, too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
