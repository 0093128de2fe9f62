# crispd starts on a node full of pods: what clients are told until it knows them all, how soon that is, and that no workload
# notices, however often. (Rows of the fault matrix are named in brackets.)

load ../lib/helper

setup_file() {
	suite_start
	[ "$CRISP_SERVER" != crispd ] || mkdir "$WORK/crash"
}
teardown_file() { suite_end; }
setup() { only_crisp; }
teardown() {
	rm -f "$WORK/crash/hold"
	serves || { stop_server KILL; start_server; }
	after_test
}

serves() { [ "$(rpc_code ListPodSandbox '{}')" = OK ]; }

# ---- the door, with a restore that takes as long as the test likes ----

# The crispd with crash and hold points (base/crash.h) starts, and waits with one object restored.
start_held() {
	printf 'restore.one' >"$WORK/crash/hold"
	CRISP_CRASH=$WORK/crash detached "$SERVER_LOG" "$CRISP_BUILD/server/crispd-crash" --config "$WORK/crisp.toml" \
		--config-dir "$WORK/crisp.toml.d"
	printf '%s\n' "$DETACHED" >"$WORK/server.pid"
	within 20 restoring
}
restoring() {
	rpc_code ListPodSandbox '{}' >/dev/null
	rpc_text | grep -qE "starting: [1-9][0-9]* of "
}
let_go() {
	rm "$WORK/crash/hold"
	within 20 serves
}

two_pods() {
	local name
	for name in one two; do
		PODS+=("$(run_pod "$name")")
		CONTAINERS+=("$(run_container "${PODS[-1]}" "$name" "$name")")
	done
}

@test "while pods are restored the socket is open: Version is answered, all else is Unavailable, with how far it is; then all is there" {
	local method PODS=() CONTAINERS=() id lists
	two_pods
	id=${CONTAINERS[0]}
	lists=$(crictl pods -q --no-trunc; crictl ps -q --no-trunc)
	stop_server
	start_held
	for method in ListPodSandbox Status ListImages ImageFsInfo RuntimeConfig StreamContainers; do
		is "$(rpc_code "$method" '{}')" Unavailable "$method"
		like "$(rpc_text)" "^crispd is starting: [1-4] of 4 pods and containers are restored$"
		is "$(tail -n 1 "$BATS_TEST_TMPDIR/rpc")" "connection: survived"
	done
	is "$(rpc_code StopContainer "{\"container_id\": \"$id\"}")" Unavailable
	is "$(rpc_code RunPodSandbox "$(jq -c '{config: .}' "$(pod_file early)")")" Unavailable
	is "$(rpc_code Version '{}')" OK
	is "$(rpc_code /runtime.v1.RuntimeService/Nothing '{}')" Unimplemented
	is "$(crirpc -e "$SERVER_SOCKET" -n 50 ListContainers '{}' | sort | uniq -c | awk '{ print $1, $2 }')" "50 Unavailable"
	let_go
	is "$(crictl pods -q --no-trunc; crictl ps -q --no-trunc)" "$lists"
	is "$(in_container "$id" echo here)" here
	is "$(crictl pods -q --name early)" ""
}

@test "a second crispd is refused while the first one still restores, whether by the state or by the socket" {
	local PODS=() CONTAINERS=() inode other=$BATS_TEST_TMPDIR/other
	two_pods
	stop_server
	start_held
	inode=$(stat -c %i "$SERVER_SOCKET")
	run timeout "$((20 * CRISP_SLOW))" "$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d"
	is "$status" 1
	like "$output" "in use by another crispd \(pid $(server_pid)\)"
	run timeout "$((20 * CRISP_SLOW))" "$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d" \
		--root "$other/root" --runroot "$other/run"
	is "$status" 1
	like "$output" "another server listens on $SERVER_SOCKET"
	is "$(stat -c %i "$SERVER_SOCKET")" "$inode"
	let_go
	is "$(in_container "${CONTAINERS[1]}" echo here)" here
}

@test "SIGTERM and SIGKILL while pods are restored: it ends at once, and the next start has all" {
	local PODS=() CONTAINERS=() signal begin
	two_pods
	stop_server
	for signal in TERM INT KILL; do
		start_held
		begin=$(now_ms)
		stop_server "$signal"
		printf '# SIG%s: gone after %s ms\n' "$signal" "$(($(now_ms) - begin))"
		[ $(($(now_ms) - begin)) -lt $((5000 * CRISP_SLOW)) ] # the drain would take 10 s
		[ "$signal" = KILL ] || [ ! -e "$SERVER_SOCKET" ]
	done
	rm "$WORK/crash/hold"
	start_server
	is "$(crictl pods -q | wc -l) $(crictl ps -q | wc -l)" "2 2"
	is "$(in_container "${CONTAINERS[0]}" echo here)" here
}

@test "a start that fails after the socket was open: the error is told, and the socket is gone" {
	local pod
	pod=$(run_pod newer)
	stop_server
	jq -c '.version = 99' "$CRISP_ROOT/pods/$pod/state.json" >"$BATS_TEST_TMPDIR/state"
	cp "$CRISP_ROOT/pods/$pod/state.json" "$BATS_TEST_TMPDIR/state.good"
	cat "$BATS_TEST_TMPDIR/state" >"$CRISP_ROOT/pods/$pod/state.json"
	run timeout "$((20 * CRISP_SLOW))" "$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d"
	cat "$BATS_TEST_TMPDIR/state.good" >"$CRISP_ROOT/pods/$pod/state.json"
	is "$status" 1
	like "$output" "newer"
	[ ! -e "$SERVER_SOCKET" ]
	start_server
	is "$(crictl pods -q --no-trunc)" "$pod"
}

@test "root is not mounted: refused, and nothing of what runs is touched; once it is, all is there, also what ended" {
	local pod container ended before
	pod=$(run_pod disk)
	container=$(run_container "$pod" disk one)
	ended=$(run_container "$pod" disk two '.command = ["sh", "-c", "exit 7"]')
	within 20 has_exited "$ended"
	stop_server
	before=$(find /run/crisp | sort)
	mount -t tmpfs nothing "$CRISP_ROOT"
	run timeout "$((20 * CRISP_SLOW))" "$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d"
	umount "$CRISP_ROOT"
	is "$status" 1
	like "$output" "/run/crisp has 3 pods and containers of another state .* not mounted"
	is "$(find /run/crisp | sort)" "$before"
	start_server
	is "$(container_field "$ended" '"\(.state) \(.exitCode)"')" "CONTAINER_EXITED 7"
	is "$(in_container "$container" echo here)" here
	is "$(pod_field "$pod" .state)" SANDBOX_READY
}

# ---- many pods ----

# Numbered lines, without a process for each: the shell's own read waits.
# shellcheck disable=SC2016
counter='.command = ["sh", "-c", "trap \"exit 0\" TERM; mkfifo /tmp/f; exec 3<>/tmp/f; i=0;
	while :; do i=$((i + 1)); echo line $i; read -t 0.05 x <&3; done"]'

full_pod() { # NUMBER
	local pod
	pod=$(run_pod "full-$1")
	printf '%s %s\n' "$pod" "$(run_container "$pod" "full-$1" "full-$1" "$counter")"
}

fill_node() { # PODS
	local worker workers=4 i
	for ((worker = 0; worker < workers; worker++)); do
		for ((i = worker; i < $1; i += workers)); do full_pod "$i"; done >"$BATS_TEST_TMPDIR/made.$worker" 3>&- &
	done
	wait
	cat "$BATS_TEST_TMPDIR"/made.* >"$BATS_TEST_TMPDIR/made"
	is "$(wc -l <"$BATS_TEST_TMPDIR/made")" "$1" "pods made"
}

empty_node() {
	crictl pods -q | xargs -r -P 4 -n 5 "$(type -P crictl)" --timeout 60s rmp -f >/dev/null
}

# Milliseconds from the process's start to the first answered list, by a client that is started again and again.
start_and_measure() {
	local begin
	begin=$(now_ms)
	detached "$SERVER_LOG" "$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d"
	printf '%s\n' "$DETACHED" >"$WORK/server.pid"
	until serves; do
		[ $(($(now_ms) - begin)) -lt $((60000 * CRISP_SLOW)) ] || return 1
	done
	TOOK=$(($(now_ms) - begin))
}

# Each log, also one that is being written, counts up from 1 without a gap.
no_gaps() {
	local log
	for log in "$BATS_TEST_TMPDIR"/logs/full-*.log; do
		head -n -1 "$log" | awk '$5 != NR { print "after line " NR - 1 " came " $0; exit 1 } END { exit NR < 2 }' ||
			{ printf '%s has a gap\n' "$log"; return 1; }
	done
}

all_run() { # PODS
	is "$(crictl pods -q -s ready | wc -l) $(crictl ps -q | wc -l)" "$1 $1" "ready pods, running containers"
	is "$(crictl pods -q --no-trunc | sort)" "$(cut -d ' ' -f 1 "$BATS_TEST_TMPDIR/made" | sort)"
	is "$(crictl ps -q --no-trunc | sort)" "$(cut -d ' ' -f 2 "$BATS_TEST_TMPDIR/made" | sort)"
}

lines_so_far() { cat "$BATS_TEST_TMPDIR"/logs/full-*.log | wc -l; }

# CRISP_RESTART_PODS=200 is what is asked for, and then it must serve within half a second; of fewer, no more is asked than that
# it is no matter of many seconds, as the machine may be busy.
@test "[1 6] restarts with many logging pods: all are listed and run, no log has a gap, and the start takes no longer each time" {
	local pods=${CRISP_RESTART_PODS:-20} restarts limit=5000 signal i took=() before fds first last
	restarts=$((pods >= 200 ? 50 : 10))
	[ "$pods" -lt 200 ] || limit=500
	fill_node "$pods"
	for signal in KILL TERM; do
		before=$(lines_so_far)
		stop_server "$signal"
		start_and_measure
		printf '# %s pods, after SIG%s: serving after %s ms\n' "$pods" "$signal" "$TOOK" >&3
		[ "$TOOK" -lt $((limit * CRISP_SLOW)) ]
		all_run "$pods"
		[ "$(lines_so_far)" -gt "$before" ]
		no_gaps
	done
	for ((i = 0; i < restarts; i++)); do
		stop_server KILL
		start_and_measure
		took+=("$TOOK")
		[ "$i" -gt 0 ] || fds=$(find "/proc/$(server_pid)/fd" -mindepth 1 | wc -l)
	done
	first=$(printf '%s\n' "${took[@]:0:restarts/2}" | sort -n | sed -n "$((restarts / 4 + 1))p")
	last=$(printf '%s\n' "${took[@]:restarts/2}" | sort -n | sed -n "$((restarts / 4 + 1))p")
	printf '# %s quick restarts, ms: %s; median of the first half %s, of the second %s\n' "$restarts" "${took[*]}" "$first" "$last" >&3
	[ "$last" -le $((first * 2 + 200 * CRISP_SLOW)) ]
	[ "$(find "/proc/$(server_pid)/fd" -mindepth 1 | wc -l)" -le $((fds + 20)) ]
	all_run "$pods"
	no_gaps
	empty_node
}

@test "nothing is left behind" {
	rmdir "$WORK/crash"
	census_is_clean
}
