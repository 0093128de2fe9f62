# Faults from below and from outside: a daemon stopped in its tracks, ended among many calls, an older or newer one's state, files that
# are damaged, disks that lie, a clock that jumps, system calls that are not there. (Rows of the fault matrix are named in brackets.)

load ../lib/helper

# Without masquerading: the bridge plugin cannot take those rules back once the network namespace is gone, and here also plugins fail.
install_cni() {
	jq '.plugins[0].ipMasq = false' "$CRISP_IT/bench/10-bench.conflist" >/etc/cni/net.d/10-bench.conflist
}

setup_file() { slow_suite_start; }
teardown_file() { suite_end; }
setup() { only_crisp; }
teardown() {
	rm -f "$WORK/slow"
	[ -z "${TRACER:-}" ] || kill -INT "$TRACER" 2>/dev/null || true
	kill -CONT "$(server_pid)" 2>/dev/null || true
	crictl version >/dev/null 2>&1 || { stop_server KILL; start_server; }
	after_test
}

run_request() { jq -c '{config: .}' "$1"; }

@test "[4] SIGTERM with a hundred calls in flight: all are answered, crispd ends in time, nothing is lost" {
	local request pod begin
	request=$(run_request "$(pod_file late)")
	be_slow_in ADD
	crirpc -e "$SERVER_SOCKET" -n 100 RunPodSandbox "$request" >"$BATS_TEST_TMPDIR/crowd" 3>&- &
	within 20 reached
	in_flight() { [ "$(find "/proc/$(server_pid)/fd" -lname 'socket:*' | wc -l)" -ge 100 ]; }
	within 20 in_flight
	kill -TERM "$(server_pid)"
	sleep 0.5
	begin=$SECONDS
	rm "$WORK/slow"
	within 20 server_gone
	[ $((SECONDS - begin)) -le $((12 * CRISP_SLOW)) ]
	wait
	start_server
	pod=$(crictl pods --no-trunc -q)
	is "$(sort "$BATS_TEST_TMPDIR/crowd" | uniq -c | tr -d ' ')" "100OK{\"podSandboxId\":\"$pod\"}"
	is "$(pod_field "$pod" .state)" SANDBOX_READY
}

@test "[5] crispd is stopped, clients give up and ask again, it goes on: one pod, one container" {
	local request pod id i
	request=$(run_request "$(pod_file stopped)")
	kill -STOP "$(server_pid)"
	for i in 1 2 3; do
		timeout -s KILL "$CRISP_SLOW" crirpc -e "$SERVER_SOCKET" RunPodSandbox "$request" >/dev/null 2>&1 || true
	done
	crirpc -e "$SERVER_SOCKET" RunPodSandbox "$request" >"$BATS_TEST_TMPDIR/last" 3>&- &
	sleep 0.5
	kill -CONT "$(server_pid)"
	wait "$!"
	is "$(head -n 1 "$BATS_TEST_TMPDIR/last")" OK
	pod=$(crictl pods --no-trunc -q)
	is "$(wc -w <<<"$pod")" 1
	id=$(run_container "$pod" stopped one)
	kill -STOP "$(server_pid)"
	kill -KILL "$(cat "/run/crisp/containers/$id/pidfile")"
	sleep 1
	kill -CONT "$(server_pid)"
	within 4 has_exited "$id"
	is "$(pgrep -c crisp-pause)" 1
}

# change FILE FILTER: JSON by jq.
change() {
	jq -c "$2" "$1" >"$BATS_TEST_TMPDIR/changed"
	cat "$BATS_TEST_TMPDIR/changed" >"$1"
}

@test "[7] state of a newer crisp is refused and left as it is; what an older or newer one noted is kept" {
	local pod container state=$CRISP_ROOT/pods
	pod=$(run_pod aged)
	container=$(run_container "$pod" aged one)
	stop_server
	change "$state/$pod/state.json" '.version = 99'
	run timeout "$((10 * CRISP_SLOW))" "$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d"
	is "$status" 1
	like "$output" "pods.*newer"
	is "$(jq .version "$state/$pod/state.json")" 99
	change "$state/$pod/state.json" '.version = 1 | .of_tomorrow = {a: [1, 2]}'
	change "$CRISP_ROOT/containers/$container/state.json" '.of_tomorrow = "x"'
	start_server
	is "$(in_container "$container" echo here)" here
	crictl stop -t 0 "$container" >/dev/null
	crictl stopp "$pod" >/dev/null
	saved() { [ "$(jq -r .state "$CRISP_ROOT/containers/$container/state.json")" = exited ]; }
	within 10 saved
	is "$(jq -c .of_tomorrow "$state/$pod/state.json")" '{"a":[1,2]}'
	is "$(jq -r .of_tomorrow "$CRISP_ROOT/containers/$container/state.json")" x
}

# damage HOW FILE
damage() {
	case $1 in
	truncated) truncate -s $(($(stat -c %s "$2") / 2)) "$2" ;;
	zeroed) dd if=/dev/zero of="$2" bs="$(stat -c %s "$2")" count=1 conv=notrunc status=none ;;
	flipped) printf 'z' | dd of="$2" bs=1 conv=notrunc status=none ;;
	doubled) cat "$2" "$2" >"$BATS_TEST_TMPDIR/double" && cat "$BATS_TEST_TMPDIR/double" >"$2" ;;
	empty) : >"$2" ;;
	esac
}

@test "[23] state files cut, zeroed, flipped, doubled, emptied: that object goes to quarantine, all others are as before" {
	local pod keep kept how hurt pods=() hows=(truncated zeroed flipped doubled empty) i
	keep=$(run_pod keep)
	kept=$(run_container "$keep" keep one)
	for i in "${!hows[@]}"; do pods+=("$(create_container "$keep" keep "${hows[i]}")"); done
	hurt=$(run_pod hurt)
	stop_server KILL
	kill -KILL "$(pgrep -f "crisp-pause $hurt")"
	for i in "${!hows[@]}"; do
		damage "${hows[i]}" "$CRISP_ROOT/containers/${pods[i]}/$([ $((i % 2)) = 0 ] && echo state || echo config).json"
	done
	damage flipped "$CRISP_ROOT/pods/$hurt/config.json"
	start_server
	is "$(crictl pods -q --no-trunc)" "$keep"
	is "$(crictl ps -aq --no-trunc)" "$kept"
	is "$(in_container "$kept" echo whole)" whole
	is "$(ls "$CRISP_ROOT/quarantine" | sort)" "$(printf 'container-%s\n' "${pods[@]}" | cat - <(printf 'pod-%s\n' "$hurt") | sort)"
	[ -n "$(run_container "$keep" keep new)" ]
	# by hand, as the log says, or all at once
	crictl rmp -f "$keep" >/dev/null
	stop_server
	"$CRISPD" wipe --force --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d" >/dev/null
	for i in "${pods[@]}"; do
		"$([ "$HANDLER" = runc ] && echo "$CRISP_RUNC" || echo "$HANDLER")" --root "/run/crisp/$HANDLER" delete --force "$i" 2>/dev/null || true
		find /sys/fs/cgroup -depth -name "crisp-$i*" -type d -exec rmdir {} + 2>/dev/null || true
		find /run/crisp/exits -name "$i*" -delete
	done
	find /sys/fs/cgroup -depth -path "*pod$hurt*" -type d -exec rmdir {} + 2>/dev/null || true
	start_server
}

# inject EXPRESSION...: strace does this to the server's system calls from now on.
inject() {
	local options=()
	for expression in "$@"; do options+=(-e "inject=$expression"); done
	strace -f -q -o "$BATS_TEST_TMPDIR/strace" -p "$(server_pid)" "${options[@]}" 2>"$BATS_TEST_TMPDIR/strace.err" 3>&- &
	TRACER=$!
	traced() { [ "$(awk '/^TracerPid/ { print $2 }' "/proc/$(server_pid)/status")" = "$TRACER" ]; }
	within 10 traced || skip "strace cannot trace here: $(cat "$BATS_TEST_TMPDIR/strace.err")"
}

no_more_faults() {
	kill -INT "$TRACER"
	wait "$TRACER" || true
	TRACER=
}

@test "[20 21] the disk fails to sync or to rename: no answer but an error, nothing half made, and later it works" {
	local call pod request
	for call in fsync:error=EIO renameat,renameat2,rename:error=EIO; do
		request=$(run_request "$(pod_file "on-bad-disk")")
		inject "$call"
		is "$(rpc_code RunPodSandbox "$request" -t "$((60 * CRISP_SLOW))s")" Internal "$call"
		like "$(rpc_text)" "Input/output error"
		is "$(crictl pods -q)" ""
		no_more_faults
		is "$(rpc_code RunPodSandbox "$request")" OK
		pod=$(crictl pods -q --no-trunc)
		is "$(wc -w <<<"$pod")" 1
		crictl rmp -f "$pod" >/dev/null
	done
	one_or_none() { [ -z "$(ls "$CRISP_ROOT/pods")" ] && [ -z "$(pgrep crisp-pause)" ]; }
	within 40 one_or_none
}

@test "[41] system calls that are interrupted, or not there: it goes on, or an error; crispd lives" {
	local pod pid request
	pid=$(server_pid)
	inject 'poll,ppoll,epoll_wait,epoll_pwait:error=EINTR:when=1+3'
	pod=$(run_pod interrupted)
	is "$(in_container "$(run_container "$pod" interrupted one)" echo fine)" fine
	no_more_faults
	inject openat2:error=ENOSYS # there is no safe way round it
	request=$(jq -c --arg pod "$pod" --arg image "$BUSYBOX" '{pod_sandbox_id: $pod, sandbox_config: .,
		config: {metadata: {name: "two"}, image: {image: $image}, command: ["sleep", "1000"]}}' "$BATS_TEST_TMPDIR/interrupted.pod.json")
	unlike "$(rpc_code CreateContainer "$request" -t "$((60 * CRISP_SLOW))s")" '^OK$'
	like "$(rpc_text)" "not implemented"
	is "$(crictl ps -aq --no-trunc --name two)" ""
	no_more_faults
	is "$(rpc_code CreateContainer "$request")" OK
	is "$(server_pid) $(crictl pods -q --no-trunc)" "$pid $pod"
	kill -0 "$pid"
}

@test "[39] an exit that is dated before the start: finishedAt is not before startedAt" {
	local pod container
	pod=$(run_pod clock)
	container=$(run_container "$pod" clock one)
	stop_server KILL
	kill -KILL "$(cat "/run/crisp/containers/$container/pidfile")"
	written() { [ -s "/run/crisp/exits/$container" ]; }
	within 10 written
	touch -d @0 "/run/crisp/exits/$container"
	start_server
	is "$(container_field "$container" '"\(.state) \(.exitCode)"')" "CONTAINER_EXITED 137"
	[ "$(container_field "$container" '.startedAt | tonumber')" -gt 0 ]
	[ "$(container_field "$container" '(.finishedAt | tonumber) >= (.startedAt | tonumber)')" = true ]
}

@test "[40] a log rotated again and again while it is written as fast as can be: not a line is lost or twice there" {
	local pod container log=$BATS_TEST_TMPDIR/logs/fast.log i
	pod=$(run_pod rotation)
	container=$(run_container "$pod" rotation fast '.command = ["sh", "-c", "trap \"exit 0\" TERM; seq 1 100000000"]')
	for i in 01 02 03 04 05 06 07 08 09 10 11 12; do
		sleep 0.1
		mv "$log" "$log.$i"
		is "$(rpc_code ReopenContainerLog "{\"container_id\": \"$container\"}")" OK
	done
	crictl stop -t 0 "$container" >/dev/null
	# a write may end inside a line, which is in pieces then
	cat "$log".?? "$log" | awk '
		{ text = text $4 }
		$3 == "F" { if (text != ++n) { print "after line " n - 1 " came " text; wrong = 1; exit }; text = "" }
		END { exit wrong || n < 10000 }'
	rm -f "$log"*
}

@test "nothing is left behind" {
	rmdir "$CRISP_ROOT/quarantine" 2>/dev/null || true
	census_is_clean
}
