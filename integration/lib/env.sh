# Where things are. Sourced by every script here, never run; it prints nothing and changes nothing but variables.
#
# CRISP_CACHE   what is slow to make and the same for every clone: Go tools, fixture images, the guest's disk. Each entry
#               is named by a digest of what it is made from, so two clones can share it and stale entries are never used.
# CRISP_BUILD   the build whose crispd is tested (default: the release preset's folder).
# shellcheck shell=bash disable=SC2034

CRISP_TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CRISP_IT=$CRISP_TREE/integration
CRISP_CACHE=${CRISP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/crisp}
CRISP_BUILD=${CRISP_BUILD:-$CRISP_TREE/build/release}
CRISP_REGISTRY_PORT=5000

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

note() {
	printf '== %s\n' "$*" >&2
}

# detached LOG COMMAND...: in the background, holding none of this shell's descriptors; a test runner waits for whoever
# holds its pipes. Sets DETACHED to the process id.
detached() {
	local log=$1
	shift
	(
		for fd in /proc/self/fd/*; do
			fd=${fd##*/}
			[ "$fd" -le 2 ] || eval "exec $fd>&-"
		done
		exec "$@"
	) >>"$log" 2>&1 </dev/null &
	DETACHED=$!
	disown
}

# digest_of FILE...: one short name for the contents (not the names) of these files.
digest_of() {
	cat "$@" | sha256sum | cut -c1-16
}

# cached NAME COMMAND...: runs COMMAND with the environment OUT=<a fresh folder> unless the cache has NAME; prints the
# entry's path. Only a command that succeeded leaves an entry, and concurrent callers make it once. COMMAND is a program,
# never a shell function: bash ignores `set -e` inside a function that is called in a condition.
cached() {
	local entry=$CRISP_CACHE/$1 partial=$CRISP_CACHE/.$1.partial
	shift
	mkdir -p "$CRISP_CACHE"
	(
		flock 9
		[ -d "$entry" ] && exit 0
		rm -rf --one-file-system "$partial"
		mkdir -p "$partial"
		OUT=$partial "$@" >&2 || { rm -rf --one-file-system "$partial"; exit 1; }
		mv "$partial" "$entry"
	) 9>"$CRISP_CACHE/.${entry##*/}.lock" || return 1
	printf '%s\n' "$entry"
}
