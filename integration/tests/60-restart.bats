# crispd goes away, by kill -9 or politely, and comes back: no workload notices, and nothing that was half made stays.

load ../lib/helper

setup_file() { slow_suite_start; }
teardown_file() { suite_end; }
teardown() {
	rm -f "$WORK/slow" "$WORK/crisp.toml.d/test.toml"
	[ ! -e "$WORK/plugins/late" ] || { rm "$WORK/plugins/late"; slow_bridge; }
	crictl version >/dev/null 2>&1 || { stop_server KILL; start_server; }
	after_test
}

# ---- what is looked at ----

container_pid() {
	crictl inspect -o json "$1" | jq -r .info.pid
}

alive() {
	kill -0 "$1" 2>/dev/null
}

not_alive() {
	! alive "$1"
}

# A container that writes "line 1", "line 2" ... to its log.
run_counter() {
	# shellcheck disable=SC2016
	run_container "$1" "$2" "$3" '.command = ["sh", "-c",
		"trap \"exit 3\" TERM; i=0; while :; do i=$((i + 1)); echo line $i; sleep 0.02; done"]'
}

# no_gap FILE...: the lines of these logs, one after another, count up from 1 without a gap; prints the last number.
no_gap() {
	cat "$@" | awk '$5 != NR { print "after line " NR - 1 " came " $0 > "/dev/stderr"; exit 1 } END { print NR }'
}

# What of a pod would be left by a half-finished call.
pod_traces() {
	pgrep -l crisp-pause || true
	find /run/crisp/{ns,pods} "$CRISP_ROOT/pods" /var/lib/cni/networks/crisp-it -mindepth 1 -maxdepth 1 2>/dev/null |
		grep -vE '/(lock|last_reserved_ip\..*)$' || true
	ip -o link show type veth
}

no_traces() {
	[ -z "$(pod_traces)" ]
}

# left_behind SECONDS CHECK: true when CHECK does not come true in time; then what is there is told, and who that could be held by.
left_behind() {
	within "$1" "$2" && return 1
	pod_traces
	container_traces
	find /run/crisp/{ns,pods,containers} "$CRISP_ROOT"/{pods,containers,cni} -mindepth 2 -maxdepth 2 2>/dev/null || true
	iptables -t nat -S | grep -w 'CNI-[0-9a-f]*' || true
	ps -e -o pid=,ppid=,stat=,etimes=,args= | grep -vE ' (ps|grep|bats|[^ ]*docker-registry)|bash .*(bats|enter)' | cut -c1-200
}

crash() {
	stop_server KILL
}

# ---- kill -9 ----

@test "[1] kill -9: pods and containers are listed, with the same ids, states and processes" {
	local pods=() containers=() pids=() i
	for i in 0 1 2; do
		pods+=("$(run_pod "pod-$i")")
		containers+=("$(run_container "${pods[i]}" "pod-$i" "ctr-$i")")
		pids+=("$(container_pid "${containers[i]}")")
	done
	local created ps before
	created=$(create_container "${pods[0]}" pod-0 never-started)
	ps=$(crictl ps -a -o json | jq -cS '[.containers[]] | sort_by(.id)')
	before=$(crictl pods -o json | jq -cS '[.items[]] | sort_by(.id)')
	crash
	for i in 0 1 2; do alive "${pids[i]}"; done
	start_server
	is "$(crictl pods -o json | jq -cS '[.items[]] | sort_by(.id)')" "$before"
	is "$(crictl ps -a -o json | jq -cS '[.containers[]] | sort_by(.id)')" "$ps"
	for i in 0 1 2; do
		is "$(container_field "${containers[i]}" .state)" CONTAINER_RUNNING
		is "$(container_pid "${containers[i]}")" "${pids[i]}"
		like "$(pod_field "${pods[i]}" .network.ip)" "^10\.88\."
		is "$(pod_field "${pods[i]}" .state)" SANDBOX_READY
		is "$(in_container "${containers[i]}" echo "still $i")" "still $i"
	done
	is "$(container_field "$created" .state)" CONTAINER_CREATED
	crictl start "$created" >/dev/null
	is "$(container_field "$created" .state)" CONTAINER_RUNNING
	crictl stop -t 10 "${containers[0]}" >/dev/null
	is "$(container_field "${containers[0]}" '"\(.state) \(.exitCode)"')" "CONTAINER_EXITED 0"
	crictl rm "${containers[0]}" >/dev/null
	not_alive "${pids[0]}"
}

@test "[1] kill -9: a log goes on without a gap, and can be rotated" {
	local pod container log=$BATS_TEST_TMPDIR/logs/counter.log lines
	pod=$(run_pod logs)
	container=$(run_counter "$pod" logs counter)
	sleep 1
	crash
	lines=$(wc -l <"$log")
	sleep 1
	[ "$(wc -l <"$log")" -gt "$lines" ]
	start_server
	mv "$log" "$log.1"
	is "$(rpc_code ReopenContainerLog "{\"container_id\": \"$container\"}")" OK
	is "$(stat -c %a "$log" | cut -c1)" 6
	crash
	sleep 1
	start_server
	crictl stop -t 10 "$container" >/dev/null
	is "$(container_field "$container" .exitCode)" 3
	lines=$(no_gap "$log.1" "$log")
	[ "$lines" -gt 60 ]
	[ "$(wc -l <"$log")" -gt 20 ]
}

@test "kill -9: an exit in the meantime is told with its true code and time" {
	local pod container other pid victim before after
	pod=$(run_pod exits)
	container=$(run_container "$pod" exits seven '.command = ["sh", "-c", "until [ -e /go ]; do sleep 0.1; done; exit 7"]')
	other=$(run_container "$pod" exits killed)
	pid=$(container_pid "$container")
	victim=$(container_pid "$other")
	crash
	before=$(date +%s%N)
	kill -KILL "$victim"
	touch "/proc/$pid/root/go"
	within 10 not_alive "$pid"
	after=$(date +%s%N)
	sleep 2
	start_server
	is "$(container_field "$container" '"\(.state) \(.exitCode) \(.reason)"')" "CONTAINER_EXITED 7 Error"
	[ "$(container_field "$container" .finishedAt)" -ge "$before" ]
	[ "$(container_field "$container" .finishedAt)" -le "$((after + 1000000000))" ]
	is "$(container_field "$other" '"\(.state) \(.exitCode)"')" "CONTAINER_EXITED 137"
	is "$(rpc_code StartContainer "{\"container_id\": \"$container\"}")" FailedPrecondition
	crictl rm "$container" "$other" >/dev/null
}

@test "kill -9: a pod whose sandbox died in the meantime is not ready, and goes" {
	only_crisp
	local pod container
	pod=$(run_pod orphan)
	container=$(run_container "$pod" orphan worker)
	crash
	kill -KILL "$(pgrep crisp-pause)"
	start_server
	is "$(pod_field "$pod" .state)" SANDBOX_NOTREADY
	refused FailedPrecondition StartContainer "{\"container_id\": \"$container\"}"
	crictl stopp "$pod" >/dev/null
	crictl rmp "$pod" >/dev/null
	is "$(crictl pods -q)" ""
	within 5 no_traces || pod_traces
	no_traces
}

@test "kill -9 ten times in a row" {
	local pod container pid i
	pod=$(run_pod often)
	container=$(run_counter "$pod" often counter)
	pid=$(container_pid "$container")
	for i in {1..10}; do
		crash
		start_server
	done
	is "$(container_pid "$container")" "$pid"
	crictl stop -t 10 "$container" >/dev/null
	is "$(container_field "$container" .exitCode)" 3
	no_gap "$BATS_TEST_TMPDIR/logs/counter.log"
}

@test "kill -9 in RunPodSandbox: the half-made pod is undone, and the same request succeeds" {
	only_crisp
	local config pod
	config=$(pod_file half)
	be_slow_in ADD
	command crictl runp "$config" >"$BATS_TEST_TMPDIR/first" 2>&1 3>&- &
	within 10 reached
	[ -n "$(pod_traces)" ]
	crash
	wait "$!" || true
	rm "$WORK/slow"
	start_server
	is "$(crictl pods -q)" ""
	within 10 no_traces || pod_traces
	no_traces
	pod=$(crictl runp "$config")
	like "$(pod_field "$pod" .network.ip)" "^10\.88\."
	is "$(crictl pods -q | wc -l)" 1
}

@test "kill -9 in RunPodSandbox: the same request at once, while the first is being undone" {
	only_crisp
	local config pod
	config=$(pod_file half)
	be_slow_in ADD
	command crictl runp "$config" >"$BATS_TEST_TMPDIR/first" 2>&1 3>&- &
	within 10 reached
	crash
	wait "$!" || true
	start_server
	rm "$WORK/slow"
	pod=$(crictl runp "$config")
	is "$(crictl pods -q)" "$pod"
	crictl stopp "$pod" >/dev/null
	crictl rmp "$pod" >/dev/null
	within 10 no_traces || pod_traces
	no_traces
}

# A bridge that becomes another program, as any plugin that is a shell script does, whose environment is no longer in the order
# that crispd gave it. That one writes down when it is called and when its ADD has ended, and waits as the slow bridge, but before
# it does anything.
late_bridge() {
	cat >"$WORK/plugins/bridge" <<-END
		#!/bin/sh
		exec /usr/bin/env -u CNI_COMMAND CNI_COMMAND="\$CNI_COMMAND" $WORK/plugins/late
	END
	cat >"$WORK/plugins/late" <<-END
		#!/bin/sh
		PATH=/usr/sbin:/usr/bin:/sbin:/bin
		printf '%s\n' "\$CNI_COMMAND" >>$WORK/called
		[ "\$CNI_COMMAND" = ADD ] || exec $CRISP_CNI/bridge
		: >$WORK/reached
		while [ -e $WORK/slow ]; do sleep 0.1; done
		$CRISP_CNI/bridge
		status=\$?
		printf 'ADD has ended\n' >>$WORK/called
		exit \$status
	END
	chmod +x "$WORK/plugins/late"
	rm -f "$WORK/called"
}

@test "kill -9 in RunPodSandbox: a network plugin that goes on is waited for before its pod is undone" {
	only_crisp
	late_bridge
	be_slow_in ADD
	command crictl runp "$(pod_file half)" >"$BATS_TEST_TMPDIR/first" 2>&1 3>&- &
	within 10 reached
	crash
	wait "$!" || true
	start_server
	sleep 1
	rm "$WORK/slow"
	within 10 no_traces || pod_traces
	no_traces
	is "$(grep -v VERSION "$WORK/called")" "$(printf 'ADD\nADD has ended\nDEL')"
}

@test "kill -9 in StopPodSandbox: stopping again finishes it" {
	only_crisp
	local pod
	pod=$(run_pod stopping)
	run_container "$pod" stopping worker >/dev/null
	be_slow_in DEL
	command crictl stopp "$pod" >"$BATS_TEST_TMPDIR/first" 2>&1 3>&- &
	within 15 reached
	crash
	wait "$!" || true
	rm "$WORK/slow"
	start_server
	is "$(crictl pods --no-trunc -q)" "$pod"
	crictl stopp "$pod" >/dev/null
	is "$(pod_field "$pod" .state)" SANDBOX_NOTREADY
	is "$(crictl ps -q)" ""
	crictl rmp "$pod" >/dev/null
	within 10 no_traces || pod_traces
	no_traces
}

# A runtime that does VERB and then waits as the slow bridge does.
slow_runtime() {
	local real
	real=$(command -v "$HANDLER")
	[ "$HANDLER" != runc ] || real=$CRISP_RUNC
	cat >"$WORK/plugins/runtime" <<-END
		#!/bin/sh
		PATH=/usr/sbin:/usr/bin:/sbin:/bin
		case " \$* " in *" \$(cat $WORK/slow 2>/dev/null) "*) ;; *) exec $real "\$@" ;; esac
		$real "\$@"
		status=\$?
		: >$WORK/reached
		while [ -e $WORK/slow ]; do sleep 0.1; done
		exit \$status
	END
	chmod +x "$WORK/plugins/runtime"
	printf '[crisp.runtime.runtimes.slow]\nruntime_path = "%s"\n' "$WORK/plugins/runtime" >"$WORK/crisp.toml.d/test.toml"
	stop_server
	start_server
}

container_traces() {
	crictl ps -aq
	find /run/crisp/containers "$CRISP_ROOT/containers" -mindepth 1 -maxdepth 1
	pgrep -l conmon || true
}

no_container_traces() {
	[ -z "$(container_traces)" ]
}

@test "kill -9 in CreateContainer: the half-made container is undone, and the same request succeeds" {
	only_crisp
	slow_runtime
	local pod container
	pod=$(crictl runp -r slow "$(pod_file half)")
	be_slow_in create
	create_container "$pod" half worker >"$BATS_TEST_TMPDIR/first" 2>&1 3>&- &
	within 10 reached
	crash
	wait "$!" || true
	rm "$WORK/slow"
	start_server
	within 10 no_container_traces || container_traces
	no_container_traces
	container=$(run_container "$pod" half worker)
	is "$(in_container "$container" echo hello)" hello
	is "$(crictl ps -aq --no-trunc)" "$container"
	remove_pods
	rm "$WORK/crisp.toml.d/test.toml"
	stop_server
	rmdir /run/crisp/slow
	start_server
}

@test "kill -9 around StartContainer: created or running, and then usable" {
	only_crisp
	local pod container delay state
	pod=$(run_pod starting)
	for delay in 0.00 0.01 0.02 0.03 0.04 0.05 0.06 0.08; do
		container=$(create_container "$pod" starting "at-$delay")
		command crictl start "$container" >"$BATS_TEST_TMPDIR/first" 2>&1 3>&- &
		sleep "$delay"
		crash
		wait "$!" || true
		start_server
		state=$(container_field "$container" .state)
		printf '# killed after %s s: %s\n' "$delay" "$state"
		[ "$state" = CONTAINER_RUNNING ] || crictl start "$container" >/dev/null
		is "$(container_field "$container" .state)" CONTAINER_RUNNING
		[ "$(container_field "$container" '.startedAt | tonumber')" -gt 0 ]
		is "$(in_container "$container" echo hello)" hello
	done
}

# A whole life of a pod, as far as it gets.
one_life() {
	local pod container
	pod=$(run_pod mortal) || return 0
	container=$(create_container "$pod" mortal worker) || return 0
	command crictl start "$container" || return 0
	command crictl exec -s "$container" true || return 0
	command crictl stop -t 1 "$container" || return 0
	command crictl rm "$container" || return 0
	command crictl stopp "$pod" || return 0
	command crictl rmp "$pod" || return 0
}

@test "kill -9 at any moment of a pod's life: what is listed can be removed, and then nothing is left" {
	only_crisp
	local delay
	for delay in 0.03 0.06 0.09 0.12 0.15 0.18 0.21 0.25 0.30 0.35 0.40 0.50 0.60 0.70 0.80; do
		one_life >"$BATS_TEST_TMPDIR/life" 2>&1 3>&- &
		sleep "$delay"
		crash
		wait "$!"
		start_server
		remove_pods
		if left_behind 10 no_traces || left_behind 10 no_container_traces; then
			printf 'killed after %s s\n' "$delay"
			return 1
		fi
	done
}

# ---- SIGTERM ----

@test "SIGTERM: calls in progress are answered first, new ones refused; workloads go on" {
	only_crisp
	local pod container pid call
	pod=$(run_pod bystander)
	container=$(run_counter "$pod" bystander counter)
	pid=$(container_pid "$container")
	be_slow_in ADD
	run_pod late >"$BATS_TEST_TMPDIR/late" 3>&- &
	call=$!
	within 10 reached
	kill -TERM "$(server_pid)"
	sleep 1
	alive "$(server_pid)"
	run command crictl --timeout 2s version
	[ "$status" -ne 0 ]
	rm "$WORK/slow"
	wait "$call"
	within 5 server_gone
	[ ! -e "$SERVER_SOCKET" ]
	alive "$pid"
	start_server
	is "$(crictl pods --no-trunc -q | sort)" "$(printf '%s\n' "$pod" "$(cat "$BATS_TEST_TMPDIR/late")" | sort)"
	is "$(pod_field "$(cat "$BATS_TEST_TMPDIR/late")" .state)" SANDBOX_READY
	is "$(container_pid "$container")" "$pid"
	no_gap "$BATS_TEST_TMPDIR/logs/counter.log"
}

@test "SIGTERM: a call that does not end within drain_timeout is given up and undone" {
	only_crisp
	local call begun config
	printf '[crisp.api]\ndrain_timeout = "2s"\n' >"$WORK/crisp.toml.d/test.toml"
	stop_server
	start_server
	config=$(pod_file stuck)
	be_slow_in ADD
	command crictl --timeout "$((30 * CRISP_SLOW))s" runp "$config" >"$BATS_TEST_TMPDIR/late" 2>&1 3>&- &
	call=$!
	within 10 reached
	begun=$SECONDS
	kill -TERM "$(server_pid)"
	! wait "$call" || false
	like "$(cat "$BATS_TEST_TMPDIR/late")" "code = Unavailable "
	within 15 server_gone
	[ $((SECONDS - begun)) -le $((10 * CRISP_SLOW)) ]
	rm "$WORK/slow" "$WORK/crisp.toml.d/test.toml"
	start_server
	is "$(crictl pods -q)" ""
	within 10 no_traces || pod_traces
	no_traces
	crictl runp "$config" >/dev/null
}

# ---- the socket ----

@test "a second crispd with state of its own is refused the same socket" {
	only_crisp
	local inode other=$BATS_TEST_TMPDIR/other
	inode=$(stat -c %i "$SERVER_SOCKET")
	sed "s|^root = .*|root = \"$other/root\"|; s|^runroot = .*|runroot = \"$other/run\"|" "$WORK/crisp.toml" >"$BATS_TEST_TMPDIR/other.toml"
	run timeout "$((10 * CRISP_SLOW))" "$CRISPD" --config "$BATS_TEST_TMPDIR/other.toml" --config-dir "$WORK/crisp.toml.d"
	is "$status" 1
	like "$output" "another server listens on $SERVER_SOCKET"
	is "$(stat -c %i "$SERVER_SOCKET")" "$inode"
	crictl version >/dev/null
}

@test "a second crispd with the same state is refused another socket" {
	only_crisp
	sed "s|^listen = .*|listen = \"$BATS_TEST_TMPDIR/other.sock\"|" "$WORK/crisp.toml" >"$BATS_TEST_TMPDIR/other.toml"
	run timeout "$((10 * CRISP_SLOW))" "$CRISPD" --config "$BATS_TEST_TMPDIR/other.toml" --config-dir "$WORK/crisp.toml.d"
	is "$status" 1
	like "$output" "in use by another crispd \(pid $(server_pid)\)"
	[ ! -e "$BATS_TEST_TMPDIR/other.sock" ]
}

@test "a socket whose server was killed is replaced; another kind of file is not" {
	only_crisp
	crash
	[ -S "$SERVER_SOCKET" ]
	start_server
	stop_server
	printf 'precious' >"$SERVER_SOCKET"
	run timeout "$((10 * CRISP_SLOW))" "$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d"
	is "$status" 1
	like "$output" "not a socket"
	is "$(cat "$SERVER_SOCKET")" precious
	rm "$SERVER_SOCKET"
	start_server
	crictl version >/dev/null
}

@test "nothing is left behind" { census_is_clean; }
