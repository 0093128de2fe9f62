# The seccomp notifier: forbidden system calls of containers whose pod asks for it are answered as the profile would have, counted
# and logged, and end the container where that is asked for.

load ../lib/helper

ANNOTATION=io.kubernetes.cri-o.seccompNotifierAction

setup_file() {
	suite_start
	[ "$CRISP_SERVER" = crispd ] || return 0
	stop_server
	cat >"$WORK/crisp.toml.d/notifier.toml" <<-END
		[crisp.runtime.runtimes.$HANDLER]
		allowed_annotations = ["$ANNOTATION"]
		[crisp.metrics]
		enable_metrics = true
		metrics_port = 0
		metrics_socket = "$WORK/metrics.sock"
	END
	cat >"$WORK/profile.json" <<-'END'
		{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
			{"names": ["sethostname", "swapon"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
			{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}]}
	END
	start_server
}
teardown_file() { suite_end; }
setup() { only_crisp; }
teardown() { after_test; }

# watched_pod [ACTION]: prints its id.
watched_pod() {
	run_pod here ".annotations[\"$ANNOTATION\"] = \"${1:-log}\""
}

# launch POD NAME [FILTER]: a container with RuntimeDefault, started.
launch() {
	run_container "$1" here "$2" ".linux.security_context.seccomp = {profile_type: 0} | ${3:-.}"
}

# counted SYSCALL: what the metric says.
counted() {
	curl -fsS -m 20 --unix-socket "$WORK/metrics.sock" http://localhost/metrics |
		awk -v call="syscall=\"$1\"" '/containers_seccomp_notifier_count_total/ && index($0, call) { print $2; found = 1 } END { if (!found) print 0 }'
}

logged() { # WORDS
	grep -qF -- "$1" "$SERVER_LOG"
}

@test "forbidden calls are answered as the profile says, logged once each, counted; the container goes on" {
	local id before
	before=$(counted unshare)
	id=$(launch "$(watched_pod)" quiet)
	is "$(in_container "$id" grep -c '^Seccomp:.*2$' /proc/self/status)" 1
	run in_container "$id" unshare -m true
	[ "$status" -ne 0 ]
	like "$output" "Operation not permitted"
	run in_container "$id" unshare -m true
	[ "$status" -ne 0 ]
	within 10 logged "container $id: process"
	is "$(grep -c "container $id: process .* used the forbidden system call unshare" "$SERVER_LOG")" 1
	is "$(($(counted unshare) - before))" 2
	is "$(container_field "$id" .state)" CONTAINER_RUNNING
	is "$(in_container "$id" echo here)" here
}

@test "the program itself, with no_new_privs: one line for many calls" {
	local id
	id=$(launch "$(watched_pod)" tries '.linux.security_context.no_new_privs = true
		| .command = ["sh", "-c", "unshare -m true; unshare -m true; unshare -m true; echo $?; exec sleep 1000"]')
	within 10 grep -q 'stdout F 1' "$BATS_TEST_TMPDIR/logs/tries.log"
	within 10 logged "container $id: process"
	is "$(grep -c "container $id: process .* used the forbidden system call unshare" "$SERVER_LOG")" 1
	crictl stop -t 0 "$id" >/dev/null
	within 10 logged "container $id used forbidden system calls: unshare (3x)"
	is "$(container_field "$id" .reason)" Error
}

@test "stop: a while after the last forbidden call the container ends, with the reason and the calls" {
	local id pod start
	pod=$(watched_pod stop)
	id=$(launch "$pod" bad '.command = ["sh", "-c", "unshare -m true; exec sleep 1000"]')
	start=$(now_ms)
	within 30 has_exited "$id"
	[ "$(($(now_ms) - start))" -ge 3500 ] # 5 s, and the container was there before its answer
	is "$(container_field "$id" .reason)" "seccomp killed"
	is "$(container_field "$id" .message)" "Used forbidden syscalls: unshare (1x)"
	is "$(container_field "$id" .exitCode)" 137
	# It stays so, and the pod takes another that does nothing forbidden.
	stop_server KILL
	start_server
	is "$(container_field "$id" .reason)" "seccomp killed"
	id=$(launch "$pod" good)
	is "$(in_container "$id" echo here)" here
}

@test "a profile of one's own: its errno is the answer, and what it kills is killed" {
	local id profile
	profile=".linux.security_context.seccomp = {profile_type: 2, localhost_ref: \"$WORK/profile.json\"} | .linux.security_context.capabilities = {add_capabilities: [\"SYS_ADMIN\"]}"
	id=$(launch "$(watched_pod)" own "$profile")
	run in_container "$id" hostname other
	[ "$status" -ne 0 ]
	like "$output" "No space left on device"
	run in_container "$id" sh -c 'mkdir /tmp/new; echo "so: $?"'
	like "$output" "so: 137"
	within 10 logged "used the forbidden system call mkdir"
	run in_container "$id" ls -d /tmp/new
	[ "$status" -ne 0 ]
}

@test "without the annotation, or not allowed, or unconfined, nothing is watched" {
	local id
	run_pod here >/dev/null
	spec() { jq -c '.linux.seccomp.listenerPath' "$CRISP_ROOT/containers/$1/bundle/config.json"; }
	id=$(launch "$(crictl pods -q)" one)
	is "$(spec "$id")" null
	remove_pods
	id=$(run_container "$(watched_pod)" here open '.linux.security_context.seccomp = {profile_type: 1}')
	is "$(spec "$id")" null
	remove_pods
	# The pod's, not the container's, and the whole key.
	id=$(launch "$(run_pod here ".annotations[\"${ANNOTATION}X\"] = \"stop\"")" two ".annotations[\"$ANNOTATION\"] = \"stop\"")
	is "$(spec "$id")" null
}

@test "kill -9 of crispd: the calls stay forbidden; execs after it are watched again" {
	local id
	id=$(launch "$(watched_pod)" lasting '.command = ["sh", "-c", "while :; do unshare -m true 2>&1; sleep 0.2; done"]')
	within 10 grep -q 'not permitted' "$BATS_TEST_TMPDIR/logs/lasting.log"
	stop_server KILL
	within 10 grep -q 'not implemented' "$BATS_TEST_TMPDIR/logs/lasting.log"
	start_server
	is "$(container_field "$id" .state)" CONTAINER_RUNNING
	run in_container "$id" unshare -m true
	[ "$status" -ne 0 ]
	like "$output" "Operation not permitted"
	within 10 logged "container $id: process"
}

@test "nothing but forbidden calls: others are served meanwhile, and it can be ended" {
	local id start
	id=$(launch "$(watched_pod)" flood '.command = ["sh", "-c", "for i in 1 2 3 4; do (while :; do unshare -m true 2>/dev/null; done) & done; wait"]')
	within 10 logged "container $id: process"
	start=$(now_ms)
	crictl ps -q >/dev/null
	is "$(in_container "$(launch "$(crictl pods -q)" beside)" echo here)" here
	[ "$(($(now_ms) - start))" -lt "$((20000 * CRISP_SLOW))" ]
	crictl stop -t 0 "$id" >/dev/null
	has_exited "$id"
}

@test "nothing is left behind" {
	rm -f "$WORK/profile.json"
	census_is_clean
}
