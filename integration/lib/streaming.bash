# What the streaming tests share: clients in the background, URLs asked for by hand, what runs inside a container.
# shellcheck shell=bash

# Clients that are still there when a test ends, to be killed.
CLIENTS=()

streaming_teardown() {
	local pid
	for pid in "${CLIENTS[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
	after_test
}

launch() {
	run_container "$POD" here "$@"
}

# random_file MIB: its path.
random_file() {
	head -c "$(($1 * 1048576))" /dev/urandom >"$BATS_TEST_TMPDIR/random"
	printf '%s\n' "$BATS_TEST_TMPDIR/random"
}

digest() {
	sha256sum | cut -d ' ' -f 1
}

# exec_url JSON-FILTER: the URL for a command in container $id, or of whatever the filter makes of the request.
exec_url() {
	rpc_code Exec "$(jq -nc --arg id "$id" '{container_id: $id, cmd: ["cat"], stdin: true, stdout: true} | '"${1:-.}")" >/dev/null
	sed -n 3p "$BATS_TEST_TMPDIR/rpc" | jq -r .url
}

# http URL [CURL OPTION...]: the status.
http() {
	local url=$1
	shift
	curl -s -m 10 -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}' "$@" "$url" || true
}

WEBSOCKET=(-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13'
	-H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' -H 'Sec-WebSocket-Protocol: v5.channel.k8s.io' --http1.1)

# How many processes with this command line run in the container.
count_inside() { # ID WORDS
	in_container "$1" ps -o args | grep -cxF "$2" || true
}

runs_inside() {
	[ "$(count_inside "$1" "$2")" = "$3" ]
}

crictl_path() {
	type -P crictl
}

forwards() { # COUNT
	[ "$(grep -sc 'Forwarding from 127' "$BATS_TEST_TMPDIR/forward")" = "$1" ]
}

# forward POD [LOCAL:REMOTE]... [OPTION...]: in the background; returns when it listens.
forward() {
	local options=() arguments=() word
	for word in "$@"; do
		if [ "$word" = -r ] || [ "${#options[@]}" = 1 ]; then options+=("$word"); else arguments+=("$word"); fi
	done
	rm -f "$BATS_TEST_TMPDIR/forward"
	"$(crictl_path)" port-forward "${options[@]}" "${arguments[@]}" >"$BATS_TEST_TMPDIR/forward" 2>&1 3>&- &
	CLIENTS+=($!)
	FORWARD=$!
	within 20 forwards "$((${#arguments[@]} - 1))"
}

# there_and_back FILE PORT: through an echo; the digest.
there_and_back() {
	exec 8<>"/dev/tcp/127.0.0.1/$2"
	cat "$1" >&8 &
	head -c "$(stat -c %s "$1")" <&8 | digest
	exec 8>&-
}

listeners() { # ID COUNT
	[ "$(in_container "$1" sh -c 'cat /proc/net/tcp /proc/net/tcp6 | grep -c " 0A " || true')" -ge "$2" ]
}
