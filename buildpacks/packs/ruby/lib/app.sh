# What an app's lock file says about it. Sourced, in the app's directory.
# shellcheck shell=bash

# locked NAME: whether the lock file has that gem; prints its version.
locked() { sed -nE "s/^    $1 \(([^)]*)\)$/\1/p" Gemfile.lock | head -1 | grep .; }

# The addresses that the lock file's gems come from.
gem_sources() { sed -nE '/^GEM/,/^$/s/^  remote: (.*)$/\1/p' Gemfile.lock | sort -u; }

is_rails() { locked railties >/dev/null; }
is_rack() { [[ -f config.ru ]] && locked rack >/dev/null; }
