#!/bin/sh
# Everything that is checked: style, types, the generated files, and the tests.
set -eu
cd "$(dirname "$0")/.."
sh tools/venv.sh test
PATH=$PWD/.venv/bin:$PATH
OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
export PATH OPENBLAS_NUM_THREADS

run() {
    echo "\$ $*"
    "$@"
}

run ruff check .
run mypy symcell
run python -m pytest -n auto --maxprocesses 8 --dist loadgroup
