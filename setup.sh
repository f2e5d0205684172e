#!/bin/sh
# For `make setup` (sh setup.sh setup: the .venv) and `make wheelhouse` (sh setup.sh wheelhouse: what an offline one needs).
# PYTHON, TORCH, TORCH_INDEX and WHEELS: docs/INSTALL.md.
set -eu
action="$1"
: "${PYTHON:=python3}" "${TORCH:=pinned}" "${TORCH_INDEX:=}" "${WHEELS:=}"

refuse() {
    echo "$*" >&2
    exit 2
}

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    refuse "idd-lightning needs Python 3.11 or newer; $PYTHON is $("$PYTHON" --version 2>&1). Say which with: make PYTHON=python3.11 $action"
[ "$action" = wheelhouse ] || [ -z "$WHEELS" ] || [ -d "$WHEELS" ] ||
    refuse "WHEELS=$WHEELS: there is no such folder. Fill it where there is a network: make wheelhouse WHEELS=$WHEELS"

# The system's torch must be there, with its torchvision, and be one that the code runs on.
system_torch() {
    "$PYTHON" - << 'END'
import re, sys, tomllib
from importlib.metadata import version

if sys.prefix != sys.base_prefix:
    sys.exit(f"TORCH=system: {sys.executable} belongs to a virtual environment, which another one does not see. Type deactivate first, or PYTHON=PATH of the Python that has torch.")
for wanted in (line for line in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] if line.startswith("torch")):
    name, _, least = wanted.partition(">=")
    if name not in ("torch", "torchvision"):
        continue
    try:
        __import__(name)
        found = version(name)
    except Exception as error:
        sys.exit(f"TORCH=system: {sys.executable} cannot use {name} ({error}). Load the module that has torch and torchvision, name another Python with PYTHON=PATH, or leave TORCH out.")
    numbers = [[int(part) for part in re.findall(r"\d+", each)[:2]] for each in (found, least)]
    if numbers[0] < numbers[1]:
        sys.exit(f"TORCH=system: {name} {found} is older than {least}. Load a newer one, or leave TORCH out.")
    print(f"{name} {found} of {sys.executable}")
END
}

# What pip is given: the pinned set, or that around another build of torch.
others="$(mktemp)"
trap 'rm -f "$others"' EXIT
if [ "$TORCH" = pinned ]; then
    cat requirements.txt
else
    grep -Ev '^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==' requirements.txt
fi > "$others"
set -- --requirement "$others"
if [ "$TORCH" = system ]; then
    [ "$action" = wheelhouse ] || system_torch || exit 2
    set -- --no-deps "$@" # the pinned set is complete, and nothing may bring another torch
else
    for package in torch torchvision; do # with ==, pip would take any build of a release, such as one that was left in WHEELS
        set -- "$@" "$(sed -n "s/^$package==/$package===/p" requirements.txt)$([ "$TORCH" = pinned ] || echo "+$TORCH")"
    done
    [ -z "$TORCH_INDEX" ] || export PIP_EXTRA_INDEX_URL="$TORCH_INDEX ${PIP_EXTRA_INDEX_URL:-}"
fi

failed() {
    if [ "$action" = setup ] && [ -n "$WHEELS" ]; then
        echo "WHEELS=$WHEELS lacks something: fill it with make wheelhouse TORCH=$TORCH WHEELS=DIR, by $("$PYTHON" --version 2>&1) on a machine of this kind." >&2
    elif [ "$TORCH" != pinned ] && [ "$TORCH" != system ] && [ -z "$TORCH_INDEX" ]; then
        echo "TORCH=$TORCH: say which package index has this build: make $action TORCH=$TORCH TORCH_INDEX=URL, or in pip's configuration." >&2
    fi
    exit 1
}

if [ "$action" = wheelhouse ]; then
    # Built here, so that nothing has to be built without a network.
    "$PYTHON" -m pip wheel --quiet --wheel-dir "${WHEELS:=wheels}" "$@" || failed
    echo "$WHEELS: $(ls "$WHEELS" | wc -l) packages. Set up from it, without a network: make setup TORCH=$TORCH WHEELS=$WHEELS"
    exit
fi

# The mark is written last: an installation that was cut short is done again, one around another torch from the beginning.
rm -f .venv/complete
[ ! -d .venv ] || [ "$(cat .venv/torch 2> /dev/null || echo pinned)" = "$TORCH" ] || rm -rf .venv
site="$([ "$TORCH" != system ] || echo --system-site-packages)"
"$PYTHON" -m venv $site .venv
echo "$TORCH" > .venv/torch
[ -z "$WHEELS" ] || set -- --no-index -f "$WHEELS" "$@"
.venv/bin/python -m pip install --quiet "$@" || failed
cp .venv/torch .venv/complete
