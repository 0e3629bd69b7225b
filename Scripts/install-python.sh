#!/usr/bin/env bash
# Makes .venv with the clients and tools of Tests/Integration/requirements.txt, and .venv/second-client with that of second-client.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON3:-python3}
if ! "$python" -m venv .venv >/dev/null 2>&1; then
    # Debian keeps venv's own installer in a package of its own.
    Scripts/install-packages.sh python3-venv
    "$python" -m venv .venv
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r Tests/Integration/requirements.txt </dev/null
rm -rf .venv/second-client
# Older versions of pip take constraints for builds from the one variable, newer ones from the other.
constraints=Tests/Integration/build-constraints.txt
PIP_CONSTRAINT=$constraints PIP_BUILD_CONSTRAINT=$constraints .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --use-pep517 --no-deps --target .venv/second-client -r Tests/Integration/second-client.txt </dev/null
