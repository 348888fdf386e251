#!/usr/bin/env bash
# All that wants a GPU, in order of worth, into OUT/gpu.json, which is whole whenever the run is cut.
#
#   experiments/gpu.sh OUT [MINUTES] [--tiny]
#
# It simulates what it needs, measures training and encoding against naive PyTorch and the chip's own
# limits, trains the plain CAE, the paper's loss and ours (five folds at 4 mm, one at 2 mm, as many
# epochs as the minutes allow), and times preprocessing. PYTHON names another interpreter than
# .venv/bin/python; it needs what pyproject.toml names, and a torch that sees the GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="src:benchmarks${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-.venv/bin/python}" benchmarks/gpu.py "$@"
