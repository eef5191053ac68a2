#!/usr/bin/env bash
# Makes target/dist/frostline-VERSION-TARGET.tar.gz: the binary, completions for shells, manual pages, licences.
#
#     bash scripts/dist.sh [TARGET]
#
# Without a target it is built for this machine, and runs where the C library is at least as new as here. With one such as
# x86_64-unknown-linux-gnu.2.28, cargo-zigbuild and zig (`cargo install cargo-zigbuild`, `pip install ziglang`) link it for a C library
# of that age.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${1:-}
if [ -n "$target" ]; then
    cargo zigbuild --profile dist --package frostline --target "$target"
    built=target/${target%%.*}/dist/frostline # the folder has no version of the C library
    [ -e "$built" ] || built=target/$target/dist/frostline
else
    target=$(rustc -vV | sed -n 's/^host: //p')
    cargo build --profile dist --package frostline
    built=target/dist/frostline
fi
version=$("$built" --version | cut -d' ' -f2)
name=frostline-$version-$target
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir -p "$place/$name/completions" "target/dist"
cp "$built" README.md CHANGELOG.md LICENSE-* "$place/$name/"
cp -r experiments "$place/$name/"
for shell in bash zsh fish elvish powershell; do
    "$built" completions "$shell" >"$place/$name/completions/frostline.$shell"
done
"$built" man "$place/$name/man" >/dev/null
tar --sort=name --owner=0 --group=0 --numeric-owner -C "$place" -czf "target/dist/$name.tar.gz" "$name"
ls -l "$place/$name/frostline" "target/dist/$name.tar.gz"
