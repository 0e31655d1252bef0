#!/bin/sh
# Bring .venv in step with pyproject.toml and requirements/locked.txt; silent when it is already.
# `install.sh bench` adds requirements/bench.txt, the peers that the benchmarks measure against.
# Needs Python 3.11 or newer with venv and pip. PYTHON names the interpreter; otherwise the usual names are tried.
set -eu
cd "$(dirname "$0")/.."
unset PYTHONHOME PYTHONPATH
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0

stamp=.venv/.installed
here=$(pwd -P)
state="$here
$(cksum pyproject.toml requirements/locked.txt)"

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
version() { "$1" -c 'import sys; print(sys.version)' 2>/dev/null; }

# A folder that was moved or copied is made anew: the scripts in it name the interpreter by its old path.
usable() {
    new_enough .venv/bin/python || return 1
    [ -z "${PYTHON:-}" ] || [ "$(version "$PYTHON")" = "$(version .venv/bin/python)" ] || return 1
    [ ! -e "$stamp" ] || [ "$(head -n 1 "$stamp")" = "$here" ]
}

pip() { .venv/bin/python -m pip "$@"; }

in_step() { [ "$2" = "$(cat "$1" 2>/dev/null)" ]; }

# The locks that are to be added and have changed. Their stamps hold the state of what they were added to.
state_with() { printf '%s\n%s' "$state" "$(cksum "requirements/$1.txt")"; }
missing=
for lock; do in_step ".venv/.installed-$lock" "$(state_with "$lock")" || missing="$missing $lock"; done

add_missing() {
    for lock in $missing; do
        echo "Adding requirements/$lock.txt to .venv." >&2
        rm -f ".venv/.installed-$lock"
        pip install -qq --require-hashes -r "requirements/$lock.txt"
        state_with "$lock" > ".venv/.installed-$lock"
    done
}

if usable && in_step "$stamp" "$state" && { [ -z "$missing" ] || pip --version >/dev/null 2>&1; }; then
    add_missing
    exit 0
fi

if usable && pip --version >/dev/null 2>&1; then
    echo "Bringing .venv in step with requirements/locked.txt." >&2
else
    names="python3 python3.14 python3.13 python3.12 python3.11 python"
    python=
    if [ -n "${PYTHON:-}" ]; then
        names=$PYTHON
        if new_enough "$PYTHON"; then python=$PYTHON; fi
    else
        for each in $names; do
            if new_enough "$each"; then python=$each; break; fi
        done
    fi
    if [ -z "$python" ]; then
        echo "No Python 3.11 or newer was found as: $names. Install one, or name it: make PYTHON=/path/to/python3" >&2
        exit 1
    fi
    echo "Setting up .venv with $("$python" --version): about 90 packages, 250 MB to download, a minute or two, once." >&2
    rm -rf .venv
    if ! "$python" -m venv .venv >/dev/null 2>&1; then  # as on Debian, where venv's own pip is a package of its own
        "$python" -m venv --without-pip --clear .venv
        pip() { "$python" -m pip --python .venv/bin/python "$@"; }
    fi
fi

rm -f "$stamp"
pip install -qq --require-hashes -r requirements/locked.txt
pip install -qq --no-deps --no-build-isolation --editable .
printf '%s\n' "$state" > "$stamp"
# Where .venv was made anew, what had been added is gone with it.
missing="$*"
add_missing
