# What may befall a container: its monitor killed or stopped, a runtime that hangs or lies, commands that leave processes behind,
# a process that cannot be killed, a volume that never answers. (Rows of the fault matrix are named in brackets.)

load ../lib/helper

if [ "${CRISP_VIEW:-}" = systemd ]; then MONITORS=crispmonitors.slice; else MONITORS=/crisp-monitors; fi

setup_file() {
	suite_start
	[ "$CRISP_SERVER" = crispd ] || return 0
	odd_runtime
	stop_server
	start_server
}
teardown_file() { suite_end; }
setup() { [[ $BATS_TEST_DESCRIPTION == nothing* ]] || POD=$(run_pod here); }
teardown() {
	rm -f "$WORK/odd"
	[ -z "${HOLDER:-}" ] || kill -KILL "$HOLDER" 2>/dev/null || true
	if mountpoint -q "$WORK/frozen"; then
		fsfreeze -u "$WORK/frozen" 2>/dev/null || true
	fi
	after_test
	# shellcheck disable=SC2015
	umount "$WORK/frozen" "$WORK/mute" 2>/dev/null || true
}

# A runtime handler "odd": the real runtime, but for the verb that $WORK/odd names after what to do there.
odd_runtime() {
	local real
	real=$([ "$HANDLER" = runc ] && printf '%s' "$CRISP_RUNC" || command -v "$HANDLER")
	cat >"$WORK/$HANDLER" <<-END
		#!/bin/sh
		for word; do
			case \$word in create | start | kill | delete | state | exec | update | features) break ;; esac
		done
		case "\$(cat $WORK/odd 2>/dev/null)" in
		"hang \$word") exec sleep 1000 ;;
		"succeed \$word") exit 0 ;;
		"junk \$word") echo '{"pid": "x'; echo '{"level": "error", "msg": {}}' >&2; exit 1 ;;
		"talk \$word") head -c 1073741824 /dev/zero | tr '\\\\0' x >&2; exit 1 ;;
		"crash \$word") kill -SEGV \$\$ ;;
		"before \$word") sh $WORK/kill ;;
		"after \$word") $real "\$@" && exec sh $WORK/kill ;;
		esac
		exec $real "\$@"
	END
	chmod +x "$WORK/$HANDLER"
	cat >"$WORK/crisp.toml.d/odd.toml" <<-END
		[crisp.runtime]
		runtime_timeout = "$((4 * CRISP_SLOW))s"
		[crisp.runtime.runtimes.odd]
		runtime_path = "$WORK/$HANDLER"
		[crisp.runtime.runtimes.apart]
		runtime_path = "$real"
		monitor_cgroup = "$MONITORS"
		[crisp.runtime.runtimes.absent]
		runtime_path = "$WORK/no-such-runtime"
	END
}

be_odd() { printf '%s' "$*" >"$WORK/odd"; }
be_good() { rm -f "$WORK/odd"; }

monitor_of() { cat "/run/crisp/containers/$1/conmon.pid"; }
init_of() { cat "/run/crisp/containers/$1/pidfile"; }
gone() { [ ! -e "/proc/$1" ] || [ "$(awk '{ print $3 }' "/proc/$1/stat")" = Z ]; }

# took MS COMMAND...: it ends within MS milliseconds (of a machine that is not slow), whatever it answers.
took() {
	local limit=$1 begin
	shift
	begin=$(now_ms)
	"$@" || true
	[ $(($(now_ms) - begin)) -lt $((limit * CRISP_SLOW)) ]
}

# runtime_processes: what the odd runtime has running.
runtime_processes() { pgrep -f 'sleep 1000' | wc -l; }
none_hanging() { [ "$(runtime_processes)" -eq 0 ]; }

exec_request() { # ID SECONDS ARGUMENT...
	local id=$1 seconds=$2
	shift 2
	jq -nc --arg id "$id" --argjson t "$seconds" '{container_id: $id, timeout: $t, cmd: $ARGS.positional}' --args -- "$@"
}

@test "[8] the monitor is killed: the container is ended and says so within 2 s; the pod goes on" {
	only_crisp
	local container other init
	container=$(run_container "$POD" here one)
	other=$(run_container "$POD" here other)
	init=$(init_of "$container")
	kill -KILL "$(monitor_of "$container")"
	within 2 has_exited "$container"
	is "$(container_field "$container" '"\(.exitCode) \(.reason)"')" "137 MonitorLost"
	within 2 gone "$init"
	is "$(container_field "$other" .state)" CONTAINER_RUNNING
	is "$(pod_field "$POD" .state)" SANDBOX_READY
	crictl rm "$container" >/dev/null
	[ -n "$(run_container "$POD" here again)" ]
}

@test "[8] the monitor is killed while crispd is down: told at the next start" {
	only_crisp
	local container init
	container=$(run_container "$POD" here one)
	init=$(init_of "$container")
	stop_server KILL
	kill -KILL "$(monitor_of "$container")"
	start_server
	within 2 has_exited "$container"
	is "$(container_field "$container" '"\(.exitCode) \(.reason)"')" "137 MonitorLost"
	within 2 gone "$init"
	crictl rm "$container" >/dev/null
}

@test "[9] the monitor is stopped: exec and stop are answered in time, the exit code is the true one" {
	only_crisp
	local container monitor code
	for code in 0 7; do
		container=$(run_container "$POD" here "ends-$code" \
			".command = [\"sh\", \"-c\", \"trap 'exit $code' TERM; while :; do sleep 0.1; done\"]")
		monitor=$(monitor_of "$container")
		kill -STOP "$monitor"
		is "$(in_container "$container" echo alive)" alive
		took 4000 crictl stop -t 30 "$container"
		is "$(container_field "$container" '"\(.state) \(.exitCode) \(.reason)"')" \
			"CONTAINER_EXITED $code $([ "$code" = 0 ] && echo Completed || echo Error)"
		took 4000 crictl rm "$container"
		is "$(crictl ps -aq)" ""
		gone "$monitor"
	done
}

@test "[9] the monitor is stopped, and the container ends by itself: known soon, also over a restart" {
	only_crisp
	local container
	container=$(run_container "$POD" here one)
	kill -STOP "$(monitor_of "$container")"
	kill -KILL "$(init_of "$container")"
	within 4 has_exited "$container"
	is "$(container_field "$container" '"\(.exitCode) \(.reason)"')" "137 Error"
	container=$(run_container "$POD" here two)
	kill -STOP "$(monitor_of "$container")"
	stop_server KILL
	kill -KILL "$(init_of "$container")"
	start_server
	within 4 has_exited "$container"
	is "$(container_field "$container" '"\(.exitCode) \(.reason)"')" "137 Error"
}

@test "[10] the monitor is outside of the pod's cgroup, where the workload's memory limit does not reach it" {
	only_crisp
	local container
	container=$(run_container "$POD" here one)
	like "$(cat "/proc/$(init_of "$container")/cgroup")" "${CGROUP_PARENT#/}"
	unlike "$(cat "/proc/$(monitor_of "$container")/cgroup")" "${CGROUP_PARENT#/}"
}

@test "[10] monitor_cgroup: the monitor is there, the container is not, and it can be stopped and removed" {
	only_crisp
	local pod container monitor line
	pod=$(crictl runp --runtime apart "$(pod_file apart)")
	container=$(run_container "$pod" apart one)
	monitor=$(monitor_of "$container")
	if [ "$CRISP_VIEW" = systemd ]; then
		like "$(cat "/proc/$monitor/cgroup")" "/$MONITORS/crisp-conmon-$container.scope"
	else
		# in every hierarchy that this view has
		for line in $(find /sys/fs/cgroup -name "${MONITORS#/}" -type d); do
			is "$(cat "$line/cgroup.procs")" "$monitor" "$line"
		done
		[ -n "$line" ]
	fi
	unlike "$(cat "/proc/$(init_of "$container")/cgroup")" "${MONITORS#/}"
	is "$(in_container "$container" echo alive)" alive
	crictl rmp -f "$pod" >/dev/null
	within 5 gone "$monitor"
	if [ "$CRISP_VIEW" = systemd ]; then
		systemctl stop "$MONITORS"
	else
		find /sys/fs/cgroup -name "${MONITORS#/}" -type d -exec rmdir {} +
	fi
}

@test "[10] out of memory beside the monitor: OOMKilled, and the monitor told it" {
	only_crisp
	grep -q memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null || [ -d /sys/fs/cgroup/memory ] || skip "no memory controller"
	local container
	container=$(run_container "$POD" here hog \
		'.command = ["sh", "-c", "dd if=/dev/zero of=/dev/null bs=200M"] | .linux.resources = {memory_limit_in_bytes: 33554432}')
	within 10 has_exited "$container"
	is "$(container_field "$container" '"\(.exitCode) \(.reason)"')" "137 OOMKilled"
	[ -s "/run/crisp/exits/$container" ]
}

@test "[11] a runtime that hangs: each call ends within runtime_timeout, nothing stays, and the same call works later" {
	only_crisp
	local pod request container verb limit=$((9000))
	pod=$(crictl runp --runtime odd "$(pod_file strange)")
	create_container "$POD" here strange >/dev/null # leaves the file
	request=$(jq -c --arg pod "$pod" '{pod_sandbox_id: $pod, config: .}' "$BATS_TEST_TMPDIR/strange.ctr.json")
	be_odd hang create
	took "$limit" rpc_code CreateContainer "$request" -t 60s
	is "$(head -n 1 "$BATS_TEST_TMPDIR/rpc")" DeadlineExceeded
	within 2 none_hanging
	is "$(crictl ps -aq --pod "$pod")" ""
	be_good
	is "$(rpc_code CreateContainer "$request")" OK
	container=$(crictl ps -aq --pod "$pod")
	be_odd hang start # which does without it
	took "$limit" rpc_code StartContainer "{\"container_id\": \"$container\"}" -t 60s
	is "$(head -n 1 "$BATS_TEST_TMPDIR/rpc")" OK
	for verb in exec update; do
		be_odd hang "$verb"
		case $verb in
		exec) took "$limit" rpc_code ExecSync "$(exec_request "$container" 2 true)" -t 60s ;;
		update) took "$limit" rpc_code UpdateContainerResources \
			"{\"container_id\": \"$container\", \"linux\": {\"cpu_shares\": 500}}" -t 60s ;;
		esac
		is "$(head -n 1 "$BATS_TEST_TMPDIR/rpc")" DeadlineExceeded "$verb"
		within 2 none_hanging
		is "$(crictl version | grep -c RuntimeName)" 1
	done
	# what ends a container needs no runtime that works
	be_odd hang kill
	took "$limit" crictl stop -t 0 "$container"
	has_exited "$container"
	be_odd hang delete
	took "$limit" crictl rm "$container"
	took "$limit" crictl stopp "$pod"
	be_good
	within 2 none_hanging
	crictl rmp -f "$pod" >/dev/null
	is "$(crictl ps -aq --pod "$pod")" ""
}

@test "[12] a runtime that lies, talks, crashes, or is not there: an error, and nothing is left" {
	only_crisp
	local pod request how resident
	pod=$(crictl runp --runtime odd "$(pod_file strange)")
	create_container "$POD" here strange >/dev/null
	request=$(jq -c --arg pod "$pod" '{pod_sandbox_id: $pod, config: .}' "$BATS_TEST_TMPDIR/strange.ctr.json")
	for how in succeed junk crash talk; do
		be_odd "$how" create
		# who talks for longer than runtime_timeout is cut off by that
		like "$(rpc_code CreateContainer "$request" -t 60s)" "^$([ "$how" = talk ] && echo 'Internal|DeadlineExceeded' || echo Internal)$" "$how"
		[ -n "$(rpc_text)" ]
		is "$(crictl ps -aq --pod "$pod")" "" "after $how"
	done
	resident=$(awk '/^RssAnon/ { print $2 }' "/proc/$(server_pid)/status")
	[ "$resident" -lt 32768 ] || { printf 'RssAnon %s KiB\n' "$resident"; false; }
	be_good
	is "$(rpc_code CreateContainer "$request")" OK
	is "$(rpc_code RunPodSandbox "$(jq -c '{config: ., runtime_handler: "absent"}' "$(pod_file none)")")" InvalidArgument
	like "$(rpc_text)" "absent.*no-such-runtime"
}

# kills PID: what the odd runtime is to kill, and to see ended.
kills() {
	cat >"$WORK/kill" <<-END
		kill -KILL $1
		while grep '^State:' /proc/$1/status 2>/dev/null | grep -qv Z; do sleep 0.01; done
	END
}

@test "who owns a namespace dies before or after the runtime of a new container joins it: FailedPrecondition, and nothing is left" {
	only_crisp
	local pod target options='.linux.security_context.namespace_options.pid = 1'
	pod=$(crictl runp --runtime odd "$(pod_file widowed "$options")")
	target=$(create_container "$pod" widowed target "$options")
	crictl start "$target" >/dev/null
	create_container "$POD" here joining "$options" >/dev/null # leaves the file
	created() { # FILTER: the code
		rpc_code CreateContainer "$(jq -c --arg pod "$pod" "{pod_sandbox_id: \$pod, config: ($1)}" "$BATS_TEST_TMPDIR/joining.ctr.json")"
	}
	kills "$(crictl inspect "$target" | jq .info.pid)"
	be_odd before create
	is "$(created "$options | .linux.security_context.namespace_options = {pid: 3, target_id: \"$target\"}")" FailedPrecondition
	like "$(rpc_text)" 'target_id.*is not running'
	kills "$(crictl inspectp "$pod" | jq .info.pid)"
	be_odd after create
	is "$(created "$options")" FailedPrecondition
	like "$(rpc_text)" 'is not ready: its pause process has ended'
	be_good
	is "$(crictl ps -aq --no-trunc --pod "$pod")" "$target"
	is "$(pod_field "$pod" .state)" SANDBOX_NOTREADY
	crictl rmp -f "$pod" >/dev/null
}

@test "[13] CVE-2026-53495: commands that leave a child behind which holds their output: 100 are answered, the children go with the container" {
	only_crisp
	local container before
	container=$(run_container "$POD" here one)
	is "$(rpc_code ExecSync "$(exec_request "$container" 30 sh -c 'sleep 4242 & echo done')")" OK
	before=$(find "/proc/$(server_pid)/fd" | wc -l)
	is "$(crirpc -e "$SERVER_SOCKET" -n 100 -t "$((120 * CRISP_SLOW))s" ExecSync \
		"$(exec_request "$container" $((60 * CRISP_SLOW)) sh -c 'sleep 4242 & echo done')" |
		cut -c 1-2 | sort | uniq -c | tr -s ' ')" " 100 OK"
	no_more() { [ "$(find "/proc/$(server_pid)/fd" | wc -l)" -le $((before + 4)) ]; }
	within 5 no_more
	crictl rm -f "$container" >/dev/null
	is "$(pgrep -cf 'sleep 4242')" 0
}

@test "[14] a process that cannot be killed: stop ends at its deadline, others are served, and later it goes" {
	only_crisp
	local container
	mkdir -p "$WORK/frozen"
	truncate -s 16M "$WORK/frozen.img"
	mkfs.ext4 -q "$WORK/frozen.img"
	mount -o loop "$WORK/frozen.img" "$WORK/frozen" || skip "no loop devices"
	container=$(run_container "$POD" here stuck ".command = [\"sh\", \"-c\", \"while [ ! -e /tmp/go ]; do sleep 0.1; done; echo x >/data/file\"]
		| .mounts = [{host_path: \"$WORK/frozen\", container_path: \"/data\"}]")
	fsfreeze -f "$WORK/frozen"
	in_container "$container" touch /tmp/go
	stuck() { [ "$(awk '{ print $3 }' "/proc/$(init_of "$container")/stat")" = D ]; }
	within 10 stuck
	took 8000 rpc_code StopContainer "{\"container_id\": \"$container\"}" -t 3s
	is "$(head -n 1 "$BATS_TEST_TMPDIR/rpc")" DeadlineExceeded
	is "$(container_field "$container" .state)" CONTAINER_RUNNING
	[ -n "$(run_container "$POD" here other)" ]
	fsfreeze -u "$WORK/frozen"
	crictl stop -t 0 "$container" >/dev/null
	crictl rm "$container" >/dev/null
}

# A filesystem whose server never answers: whoever looks at it waits.
mute_filesystem() {
	mkdir -p "$WORK/mute"
	perl -e '
		open(my $fuse, "+<", "/dev/fuse") or exit 1;
		my $options = "fd=" . fileno($fuse) . ",rootmode=40000,user_id=0,group_id=0";
		$^F = 1000;
		syscall(165, my $a = "mute", my $b = $ARGV[0], my $c = "fuse", 0, $options) == 0 or exit 1;
		open(my $told, ">", "$ARGV[0].mounted");
		close($told);
		sleep 1000;' "$WORK/mute" 3>&- &
	HOLDER=$!
	mounted() { [ -e "$WORK/mute.mounted" ] || ! kill -0 "$HOLDER"; }
	within 10 mounted
	kill -0 "$HOLDER"
}

@test "[15] a volume that never answers: that call ends at its deadline, others are served, and the pod goes later" {
	only_crisp
	local other
	[ -c /dev/fuse ] || skip "no FUSE"
	mute_filesystem
	create_container "$POD" here volume >/dev/null
	is "$(rpc_code CreateContainer "$(jq -c --arg pod "$POD" --slurpfile sandbox "$BATS_TEST_TMPDIR/here.pod.json" --arg path "$WORK/mute/x" \
		'{pod_sandbox_id: $pod, config: (.metadata.attempt = 1 | .mounts = [{host_path: $path, container_path: "/data"}])}' \
		"$BATS_TEST_TMPDIR/volume.ctr.json")" -t 2s)" DeadlineExceeded
	other=$(run_pod other)
	[ -n "$(run_container "$other" other one)" ]
	kill -KILL "$HOLDER"
	crictl stopp "$POD" >/dev/null
	crictl rmp "$POD" >/dev/null
}

@test "nothing is left behind" {
	rm -f "$WORK/mute.mounted" "$WORK/frozen.img"
	rmdir /run/crisp/odd /run/crisp/apart # the runtime's own folder, which stays while there is a handler of that name
	census_is_clean
}
