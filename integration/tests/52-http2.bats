# HTTP/2 misused by somebody who may open the socket: floods of frames, frames that break the protocol, calls without end. Others are served
# meanwhile, and memory stays bounded. (Row 44 of the bad-input matrix.)

load ../lib/helper

setup_file() {
	suite_start
	run_pod listed >/dev/null
	memory VmRSS >"$BATS_FILE_TMPDIR/small"
}
teardown_file() {
	remove_pods
	suite_end
}
setup() {
	only_crisp
	echo 5 >"/proc/$(server_pid)/clear_refs" # VmHWM from here
	BEFORE=$(memory VmRSS)
}

memory() { # KiB
	awk -v what="$1:" '$1 == what { print $2 }' "/proc/$(server_pid)/status"
}

fds() {
	find "/proc/$(server_pid)/fd" -mindepth 1 | wc -l
}

# flood N KIND: others are answered during it; what came of it is in $BATS_TEST_TMPDIR/flood.
flood() {
	local pid tries
	criflood -e "$SERVER_SOCKET" -n "$1" -t "$((5 * CRISP_SLOW))s" "$2" >"$BATS_TEST_TMPDIR/flood" &
	pid=$!
	for tries in 1 2 3; do
		is "$(rpc_code Version '{}' -t "$((5 * CRISP_SLOW))s")" OK "Version during $2"
	done
	wait "$pid"
	is "$(rpc_code ListContainers '{}')" OK "ListContainers after $2"
}

outcome() {
	jq -r "$1" "$BATS_TEST_TMPDIR/flood"
}

# memory_stayed MIB: the most of it since the test began.
memory_stayed() {
	local most
	most=$(memory VmHWM)
	[ "$most" -lt $((BEFORE + $1 * 1024)) ] || { printf 'memory: %s KiB, from %s\n' "$most" "$BEFORE"; return 1; }
}

@test "[44] floods of frames: resets, control frames, empty data, priorities, frames of unknown type" {
	local kind
	for kind in resets answer-resets settings settings-unread window-updates empty-data priorities unknown-frames; do
		flood 10000 "$kind"
		[ "$(outcome .sent)" -gt 1000 ] || [ "$(outcome .closed)" = true ]
	done
	flood 10000 pings-unread
	is "$(outcome .goaway)" ENHANCE_YOUR_CALM
	is "$(outcome .closed)" true
	memory_stayed 128
}

@test "[44] headers without end, and headers that unfold to megabytes" {
	flood 1000 continuations # gRPC 1.51 counts the bytes of headers anew in each frame
	flood 100 header-bomb
	is "$(outcome '.status | test("grpc-status=0") | not')" true
	memory_stayed 64
}

@test "[44] what breaks the protocol ends its own connection" {
	local kind
	for kind in frame-size-0 frame-too-large window-update-0; do
		flood 1 "$kind"
		is "$(outcome .closed)" true "$kind: closed"
	done
	for kind in window-overflow data-unopened even-stream; do
		flood 1 "$kind"
	done
	memory_stayed 32
}

@test "[44] odd paths are no method" {
	local kind
	for kind in path-empty path-star path-dots path-binary; do
		flood 1 "$kind"
		like "$(outcome .status)" 'grpc-status=12$' "$kind"
	done
	for kind in path-long path-missing; do
		flood 1 "$kind"
		like "$(outcome .status)" 'grpc-status=[1-9][0-9]*$' "$kind"
	done
}

@test "[44] one connection cannot take all calls that may be in progress, also when it reads no answer" {
	flood 10000 streams
	flood 10000 zero-window
	like "$(outcome .status)" 'grpc-status=8$'
	grep -q "more than 2048 calls of one connection are in progress" "$SERVER_LOG"
	memory_stayed 256
	small_again() { [ "$(memory VmRSS)" -lt $(($(cat "$BATS_FILE_TMPDIR/small") + 32 * 1024)) ]; }
	within 70 small_again
	none_left() { [ "$(fds)" -lt 100 ]; }
	within 10 none_left
}

@test "nothing is left behind" { remove_pods && census_is_clean; }
