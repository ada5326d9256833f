#!/bin/sh
# The site: build/site/html/index.html, to be opened as a file or served (python -m http.server -d build/site/html).
set -eu
cd "$(dirname "$0")/.."
sh tools/venv.sh docs
OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
export OPENBLAS_NUM_THREADS
exec .venv/bin/python tools/gallery "$@"
