#!/usr/bin/env bash
# Installs the Debian packages that the build needs and that are not there yet. Works as root or through sudo.
# Arguments are further packages.
set -euo pipefail

packages=(pkg-config libuv1-dev libisal-dev libssl-dev zlib1g-dev liblz4-dev libzstd-dev zstd "$@")

missing=()
for package in "${packages[@]}"; do
    # pkgconf provides pkg-config on newer systems, where the old name is a transitional package or absent.
    [[ $package == pkg-config ]] && command -v pkg-config >/dev/null && continue
    [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true) == "install ok installed" ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

if ! command -v apt-get >/dev/null; then
    echo "install these, then try again: ${missing[*]}" >&2
    exit 1
fi
as_root=()
if ((EUID != 0)); then
    command -v sudo >/dev/null || { echo "as root: apt-get install ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
fi

echo "installing ${missing[*]}"
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}")
# The package lists of a fresh image may be missing or too old to be of use.
"${install[@]}" >/dev/null 2>&1 </dev/null || {
    "${as_root[@]}" apt-get update -q </dev/null
    "${install[@]}" </dev/null
}
