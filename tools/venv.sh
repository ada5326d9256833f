#!/bin/sh
# Make .venv and install symcell into it with some extras, once: tools/venv.sh demo
# PYTHON=/path/to/python3.12 tools/venv.sh demo  uses that Python.
set -eu
cd "$(dirname "$0")/.."
extras=$1
stamp=.venv/.installed-$extras

new_enough() {
    "$1" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null
}

usable() { # made in this directory (scripts in .venv/bin name it), by a Python that is still there
    [ "$(cat .venv/.made-in 2>/dev/null)" = "$PWD" ] && new_enough .venv/bin/python
}

if usable && [ "$stamp" -nt pyproject.toml ]; then
    exit 0
fi

if ! usable; then
    for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if new_enough "$python"; then found=$python; break; fi
    done
    if [ -z "${found:-}" ]; then
        echo "symcell needs Python 3.11 or newer, and found none; say where it is: make PYTHON=/path/to/python3 ..." >&2
        exit 1
    fi
    echo "making .venv with $("$found" --version)"
    if ! "$found" -m venv --clear .venv; then
        echo "$found has no venv module that works; on Debian and Ubuntu: apt install python3-venv" >&2
        exit 1
    fi
    echo "$PWD" >.venv/.made-in
fi

echo "installing symcell[$extras] into .venv (the first time only)"
pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
pip install --upgrade pip || echo "keeping the pip that came with Python" >&2
pip install --editable ".[$extras]"
touch "$stamp"
