# Containers: their states, exits and times, exec, logs, and what their process is given: mounts, environment, user,
# capabilities, system calls, paths.

load ../lib/helper

setup_file() { suite_start; }
teardown_file() { suite_end; }
# The last test looks at what is there without any pod.
setup() { [[ $BATS_TEST_DESCRIPTION == nothing* ]] || POD=$(run_pod here); }
teardown() { after_test; }

# make NAME [FILTER]: created; launch: started too. Both in this test's pod; print the id.
make() {
	create_container "$POD" here "$@"
}

launch() {
	run_container "$POD" here "$@"
}

# run_to_end NAME COMMAND [FILTER]: a container of one shell command, when it has exited; prints the id.
run_to_end() {
	local id
	id=$(launch "$1" ".command = [\"sh\", \"-c\", $(jq -Rs . <<<"$2")] ${3:-}")
	within 10 has_exited "$id"
	printf '%s\n' "$id"
}

state() {
	container_field "$1" .state
}

# exec_sync ID TIMEOUT ARGUMENT...: code's name; the answer's fields by answer FILTER.
exec_sync() {
	local id=$1 seconds=$2
	shift 2
	rpc_code ExecSync "$(jq -nc --arg id "$id" --argjson t "$seconds" '{container_id: $id, timeout: $t, cmd: $ARGS.positional}' --args -- "$@")"
}

answer() {
	sed -n 3p "$BATS_TEST_TMPDIR/rpc" | jq -r "$1"
}

# process_line ID FIELD: of /proc/self/status of a process inside.
process_line() {
	in_container "$1" cat /proc/self/status | awk -v field="$2:" '$1 == field { sub(/^[^\t]*\t */, ""); print }'
}

log_file() {
	printf '%s\n' "$BATS_TEST_TMPDIR/logs/$1.log"
}

@test "created, running, exited: states, times in order, reason Completed" {
	local id
	id=$(make life)
	like "$id" "^[0-9a-f]{64}$"
	is "$(state "$id")" CONTAINER_CREATED
	is "$(container_field "$id" '"\(.startedAt) \(.finishedAt)"')" "0 0"
	is "$(crictl ps -aq --state created)" "$id"
	is "$(crictl start "$id")" "$id"
	is "$(state "$id")" CONTAINER_RUNNING
	is "$(container_field "$id" '(.startedAt | tonumber) > 0 and .finishedAt == "0"')" true
	crictl stop -t 5 "$id" >/dev/null
	is "$(state "$id")" CONTAINER_EXITED
	is "$(container_field "$id" '[.createdAt, .startedAt, .finishedAt] | map(tonumber) | . == sort and .[0] > 0')" true
	is "$(container_field "$id" '"\(.exitCode) \(.reason)"')" "0 Completed"
}

@test "inspect shows what was asked for" {
	local id
	id=$(launch asked '.annotations = {note: "a b"} | .metadata.attempt = 3')
	run crictl inspect "$id"
	is "$status" 0
	is "$(jq -r '.status.metadata | "\(.name) \(.attempt)"' <<<"$output")" "asked 3"
	is "$(jq -rc .status.labels <<<"$output")" '{"part":"asked"}'
	is "$(jq -rc .status.annotations <<<"$output")" '{"note":"a b"}'
	is "$(jq -r .status.image.image <<<"$output")" "$BUSYBOX"
	like "$(jq -r .status.imageRef <<<"$output")" "sha256:[0-9a-f]{64}$"
	is "$(jq -r .status.logPath <<<"$output")" "$(log_file asked)"
	kill -0 "$(jq -r .info.pid <<<"$output")"
}

@test "the image has a name for people, also when it was asked for by its id" {
	local id image digest
	image=$(crictl inspecti "$BUSYBOX" | jq -r .status.id)
	digest=$(crictl inspecti "$BUSYBOX" | jq -r '.status.repoDigests[0]')
	id=$(make by-id ".image = {image: \"$image\", user_specified_image: \"$BUSYBOX\"}")
	is "$(container_field "$id" '"\(.image.image) \(.imageId) \(.imageRef)"')" "$BUSYBOX $image $digest"
	id=$(make by-prefix ".image = {image: \"${image:7:12}\"}")
	is "$(container_field "$id" .image.image)" "$BUSYBOX"
	is "$(crirpc -e "$SERVER_SOCKET" ListContainers '{}' | sed -n 3p | jq -r '[.containers[].imageId] | unique[]')" "$image"
}

@test "ps lists by id, name, pod, label and state" {
	local one two
	one=$(launch one)
	two=$(run_to_end two true)
	is "$(crictl ps -q)" "$one"
	is "$(crictl ps -aq | sort)" "$(printf '%s\n' "$one" "$two" | sort)"
	is "$(crictl ps -aq --id "${two:0:12}")" "$two"
	is "$(crictl ps -aq --name two)" "$two"
	is "$(crictl ps -q --pod "$POD")" "$one"
	is "$(crictl ps -aq --label part=two)" "$two"
	is "$(crictl ps -aq --state exited)" "$two"
	like "$(crictl ps --no-trunc)" "$one.*Running +one +0 +$POD"
}

@test "the same identity again gives the same container" {
	only_crisp
	local id
	id=$(make twin)
	is "$(crictl create "$POD" "$BATS_TEST_TMPDIR/twin.ctr.json" "$BATS_TEST_TMPDIR/here.pod.json")" "$id"
	is "$(crictl ps -aq)" "$id"
}

@test "exit codes and reasons: 0 Completed, 3 Error, killed 137 Error" {
	is "$(container_field "$(run_to_end zero 'exit 0')" '"\(.exitCode) \(.reason)"')" "0 Completed"
	is "$(container_field "$(run_to_end three 'exit 3')" '"\(.exitCode) \(.reason)"')" "3 Error"
	is "$(container_field "$(run_to_end killed 'kill -KILL $$')" '"\(.exitCode) \(.reason)"')" "137 Error"
}

@test "a process killed from outside is noticed within 1 s" {
	local id
	id=$(launch victim)
	kill -KILL "$(crictl inspect "$id" | jq -r .info.pid)"
	sleep "$CRISP_SLOW"
	is "$(container_field "$id" '"\(.state) \(.exitCode)"')" "CONTAINER_EXITED 137"
}

@test "a container over its memory limit: OOMKilled" {
	with_controller memory || skip "no memory controller in this view"
	local id
	id=$(run_to_end hungry 'x=0123456789; while :; do x=$x$x; done' \
		'| .linux.resources = {memory_limit_in_bytes: 33554432, memory_swap_limit_in_bytes: 33554432}')
	is "$(container_field "$id" '"\(.exitCode) \(.reason)"')" "137 OOMKilled"
}

@test "limits arrive in the container's cgroup, below the pod's parent" {
	with_controller memory || skip "no memory controller in this view"
	local id
	id=$(launch limited '.linux.resources = {memory_limit_in_bytes: 67108864, cpu_shares: 512, cpu_quota: 50000, cpu_period: 100000}')
	like "$(cgroup_folder "$(crictl inspect "$id" | jq -r .info.pid)" memory)" "/crisp(-it/|\.slice/crisp-it\.slice/)"
	like "$(limits_of "$id")" "$(limited 67108864 512 50000)"
}

@test "unified: files of cgroup v2 by their names, and what is none is refused; huge pages and processes are limited" {
	[ -e /sys/fs/cgroup/cgroup.controllers ] && with_controller memory || skip "no controllers of cgroup v2 here"
	only_crisp
	local id folder
	id=$(launch unified '.linux.resources = {unified: {"memory.high": "50331648", "pids.max": "77", "memory.oom.group": "1"}}')
	folder=$(cgroup_folder "$(crictl inspect "$id" | jq -r .info.pid)" memory)
	is "$(cat "$folder/memory.high") $(cat "$folder/pids.max")" "50331648 77"
	# What systemd has no property for crun writes into its own cgroup below the scope.
	is "$(cat "$folder"{,/container}/memory.oom.group 2>/dev/null | sort -n | tail -n 1)" 1
	is "$(container_field "$id" '.resources.linux.unified["pids.max"]')" 77
	run create_container "$POD" here no-such-file '.linux.resources = {unified: {"memory.no-such": "1"}}'
	[ "$status" -ne 0 ]
	if with_controller hugetlb; then
		id=$(launch huge '.linux.resources = {hugepage_limits: [{page_size: "2MB", limit: 4194304}]}')
		folder=$(cgroup_folder "$(crictl inspect "$id" | jq -r .info.pid)" hugetlb)
		is "$(cat "$folder"{,/container}/hugetlb.2MB.max 2>/dev/null | grep -v max)" 4194304
	fi
}

update_container() { # ID JSON: prints the code
	rpc_code UpdateContainerResources "{\"container_id\": \"$1\", \"linux\": $2}"
}

@test "UpdateContainerResources: limits of a living container move, are told by its status, and outlive the server" {
	with_controller memory || skip "no memory controller in this view"
	local id
	id=$(launch limited '.linux.resources = {memory_limit_in_bytes: 67108864, cpu_shares: 512, cpu_quota: 50000, cpu_period: 100000}')
	is "$(update_container "$id" '{"memory_limit_in_bytes": 134217728}')" OK
	like "$(limits_of "$id")" "$(limited 134217728 512 50000)"
	is "$(update_container "$id" '{"cpu_shares": 1024, "cpu_quota": 20000}')" OK
	like "$(limits_of "$id")" "$(limited 134217728 1024 20000)"
	is "$(update_container "$id" '{"memory_limit_in_bytes": 33554432}')" OK
	like "$(limits_of "$id")" "$(limited 33554432 1024 20000)"
	status() { container_field "$id" '.resources.linux | "\(.memoryLimitInBytes) \(.cpuShares) \(.cpuQuota) \(.cpuPeriod)"'; }
	is "$(status)" "33554432 1024 20000 100000"
	if [ "$CRISP_SERVER" = crispd ]; then
		# nothing of a request that is refused
		is "$(update_container "$id" '{"memory_limit_in_bytes": 4096, "cpu_shares": 2}')" FailedPrecondition
		like "$(rpc_text)" "below the [0-9]+ bytes in use"
		is "$(update_container "$id" '{"cpu_shares": 77, "cpuset_cpus": "0-9e9"}')" InvalidArgument
		is "$(update_container "$id" '{"cpu_shares": 77, "cpuset_cpus": "4000"}')" Internal "the runtime's own refusal"
		like "$(limits_of "$id")" "$(limited 33554432 1024 20000)"
		is "$(status)" "33554432 1024 20000 100000"
		stop_server KILL
		start_server
		is "$(status)" "33554432 1024 20000 100000"
		is "$(update_container "$id" '{"cpu_shares": 256}')" OK
		like "$(limits_of "$id")" "$(limited 33554432 256 20000)"
	fi
	crictl stop -t 0 "$id" >/dev/null
	[ "$CRISP_SERVER" != crispd ] || is "$(update_container "$id" '{"cpu_shares": 77}')" FailedPrecondition
	is "$(update_container 0123456789abcdef '{"cpu_shares": 77}')" NotFound
}

@test "UpdateContainerResources of a created container holds when it is started" {
	with_controller memory || skip "no memory controller in this view"
	local id
	id=$(create_container "$POD" here early)
	is "$(update_container "$id" '{"memory_limit_in_bytes": 67108864, "cpu_shares": 512, "cpu_quota": 50000, "cpu_period": 100000}')" OK
	crictl start "$id" >/dev/null
	like "$(limits_of "$id")" "$(limited 67108864 512 50000)"
}

# launch_with_trap NAME COMMAND SIGNAL [FILTER]: prints the id once it listens: before, the signal would meet the runtime's init.
launch_with_trap() {
	launch "$1" ".command = [\"sh\", \"-c\", \"trap \\\"$2\\\" $3; echo listening; while :; do sleep 0.1; done\"] | ${4:-.}"
	listening() { grep -q listening "$(log_file "$1")"; }
	within 10 listening "$1"
}

@test "stop: SIGTERM is honoured within the grace time" {
	local id from
	id=$(launch_with_trap polite 'echo bye; exit 7' TERM)
	from=$(now_ms)
	crictl stop -t 20 "$id" >/dev/null
	[ $(($(now_ms) - from)) -lt $((5000 * CRISP_SLOW)) ]
	is "$(container_field "$id" '"\(.state) \(.exitCode)"')" "CONTAINER_EXITED 7"
	is "$(crictl logs "$id" | xargs)" "listening bye"
	is "$(rpc_code StopContainer "{\"container_id\": \"$id\", \"timeout\": 1}")" OK "a second stop"
}

@test "stop: SIGKILL after the grace time, and at once when it is 0" {
	local id from took
	id=$(launch_with_trap deaf '' TERM)
	from=$(now_ms)
	crictl stop -t 1 "$id" >/dev/null
	took=$(($(now_ms) - from))
	[ "$took" -ge 1000 ] && [ "$took" -lt $((4000 * CRISP_SLOW)) ]
	is "$(container_field "$id" '"\(.exitCode) \(.reason)"')" "137 Error"
	id=$(launch_with_trap deafer '' TERM)
	from=$(now_ms)
	crictl stop -t 0 "$id" >/dev/null
	[ $(($(now_ms) - from)) -lt $((1000 * CRISP_SLOW)) ]
	is "$(container_field "$id" .exitCode)" 137
}

# A container that hears of its stop, says so in its log, and stays; prints the id.
launch_stubborn() {
	launch_with_trap "$1" 'echo asked' TERM
}

# stop_slowly ID NAME: a StopContainer with a grace of a minute, under way; its code will be in the file slow.NAME.
stop_slowly() {
	crirpc -e "$SERVER_SOCKET" -t 90s StopContainer "{\"container_id\": \"$1\", \"timeout\": 60}" >"$BATS_TEST_TMPDIR/slow.$2" 3>&- &
	asked() { grep -q asked "$(log_file "$1")"; }
	within 10 asked "$2"
}

# all_over NAME FROM: that stop has been answered too, long before its minute.
all_over() {
	answered() { [ "$(head -n 1 "$BATS_TEST_TMPDIR/slow.$1")" = OK ]; }
	within 10 answered "$1"
	[ $(($(now_ms) - $2)) -lt $((20000 * CRISP_SLOW)) ]
}

@test "a stop with a shorter grace, a removal and the end of the pod do not wait for a long stop" {
	only_crisp
	local id from
	id=$(launch_stubborn zero)
	stop_slowly "$id" zero
	from=$(now_ms)
	is "$(rpc_code StopContainer "{\"container_id\": \"$id\", \"timeout\": 0}")" OK
	all_over zero "$from"
	is "$(container_field "$id" '"\(.state) \(.exitCode)"')" "CONTAINER_EXITED 137"

	id=$(launch_stubborn two)
	stop_slowly "$id" two
	from=$(now_ms)
	is "$(rpc_code StopContainer "{\"container_id\": \"$id\", \"timeout\": 2}")" OK
	[ $(($(now_ms) - from)) -ge 2000 ]
	all_over two "$from"

	id=$(launch_stubborn gone)
	stop_slowly "$id" gone
	from=$(now_ms)
	is "$(rpc_code RemoveContainer "{\"container_id\": \"$id\"}")" OK
	all_over gone "$from"

	id=$(launch_stubborn pod)
	stop_slowly "$id" pod
	from=$(now_ms)
	is "$(rpc_code StopPodSandbox "{\"pod_sandbox_id\": \"$POD\"}")" OK
	all_over pod "$from"
	wait
}

@test "stop sends the image's own stop signal" {
	local id
	id=$(launch_with_trap web 'exit 9' QUIT ".image.image = \"$NGINX\"")
	crictl stop -t 10 "$id" >/dev/null
	is "$(container_field "$id" .exitCode)" 9
}

@test "rm: only what has ended, unless forced; a second time it is no error" {
	local id
	id=$(launch kept)
	run crictl rm "$id"
	[ "$status" -ne 0 ]
	is "$(state "$id")" CONTAINER_RUNNING
	crictl stop -t 0 "$id" >/dev/null
	crictl rm "$id" >/dev/null
	is "$(crictl ps -aq)" ""
	is "$(rpc_code ContainerStatus "{\"container_id\": \"$id\"}")" NotFound
	is "$(rpc_code RemoveContainer "{\"container_id\": \"$id\"}")" OK
	id=$(launch forced)
	crictl rm -f "$id" >/dev/null
	is "$(crictl ps -aq)" ""
	id=$(make never-started)
	is "$(rpc_code RemoveContainer "{\"container_id\": \"$id\"}")" OK
}

@test "a container that ended is not started again, but its name can be used by the next attempt" {
	local id
	id=$(run_to_end once true)
	run crictl start "$id"
	[ "$status" -ne 0 ]
	id=$(launch once '.metadata.attempt = 1')
	is "$(crictl ps -q)" "$id"
}

@test "a command that is not there: refused, and the container can be removed" {
	local id
	# crispd has the runtime look at once: bad-input tests tell how that is answered.
	id=$(make absent '.command = ["/no/such/program"]') || return 0
	run crictl start "$id"
	[ "$status" -ne 0 ]
	like "$output" "no/such/program|[Nn]o such file"
	crictl rm "$id" >/dev/null
}

@test "exec: output, error output and exit code, each by itself" {
	local id
	id=$(launch shell)
	is "$(exec_sync "$id" 10 sh -c 'echo out; echo err >&2; exit 5')" OK
	is "$(answer .stdout | base64 -d)" out
	is "$(answer .stderr | base64 -d)" err
	is "$(answer .exitCode)" 5
	# crictl itself writes both to its output.
	is "$(crictl exec -s "$id" sh -c 'echo out; echo err >&2')" $'out\n\nerr'
	run crictl exec -s "$id" sh -c 'exit 3'
	[ "$status" -ne 0 ]
	is "$(exec_sync "$id" 10 sh -c 'kill -KILL $$')" OK
	is "$(answer .exitCode)" 137
	is "$(exec_sync "$id" 10 sh -c 'head -c 1000000 /dev/zero | tr "\0" x')" OK
	is "$(answer .stdout | base64 -d | wc -c)" 1000000
}

@test "exec past its timeout: DeadlineExceeded, and all it started is dead" {
	local id from
	id=$(launch slow)
	from=$(now_ms)
	is "$(exec_sync "$id" 1 sh -c 'sleep 4321 & sleep 4321')" DeadlineExceeded
	[ $(($(now_ms) - from)) -lt $((4000 * CRISP_SLOW)) ]
	none_left() { [ -z "$(in_container "$id" pgrep -f 'sleep 4321' || true)" ]; }
	if [ "$CRISP_SERVER" = crispd ]; then within 2 none_left; fi
	is "$(state "$id")" CONTAINER_RUNNING
}

@test "exec in a container that is not running is refused" {
	local id
	id=$(run_to_end over true)
	unlike "$(exec_sync "$id" 5 true)" "^OK$"
	is "$(tail -n 1 "$BATS_TEST_TMPDIR/rpc")" "connection: survived"
}

@test "twenty execs at a time" {
	local id i
	id=$(launch busy)
	for i in {1..20}; do in_container "$id" sh -c "echo $i; sleep 0.1" >"$BATS_TEST_TMPDIR/out.$i" & done
	wait
	is "$(cat "$BATS_TEST_TMPDIR"/out.* | grep . | sort -n | tr '\n' ' ')" "$(seq -s ' ' 1 20) "
}

@test "the log file: time, stream, tag and text; crictl logs reads it" {
	local id stamp='[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}(Z|[+-][0-9]{2}:[0-9]{2})'
	id=$(run_to_end talk 'echo one; sleep 0.1; echo two >&2; sleep 0.1; echo; echo "  three  "')
	logged() { [ "$(wc -l <"$(log_file talk)")" = 4 ]; }
	within 3 logged
	run cat "$(log_file talk)"
	like "${lines[0]}" "^$stamp stdout F one$"
	like "${lines[1]}" "^$stamp stderr F two$"
	like "${lines[2]}" "^$stamp stdout F $"
	like "${lines[3]}" "^$stamp stdout F   three  $"
	is "$(cut -d' ' -f1 "$(log_file talk)")" "$(cut -d' ' -f1 "$(log_file talk)" | sort)" "times"
	is "$(crictl logs "$id" 2>/dev/null)" $'one\n\n  three  '
	is "$(crictl logs "$id" 2>&1 >/dev/null)" two
	is "$(crictl logs --tail 1 "$id" 2>/dev/null)" "  three  "
}

@test "a long line is split into P pieces and an F, and is whole again in crictl logs" {
	local id
	id=$(run_to_end long 'head -c 40000 /dev/zero | tr "\0" x; echo')
	ended() { grep -q ' F ' "$(log_file long)"; }
	within 3 ended
	is "$(awk '{ print $3 }' "$(log_file long)" | uniq | tr '\n' ' ')" "P F "
	is "$(crictl logs "$id" | tr -d '\n' | wc -c)" 40000
}

@test "a log moved away goes on in a new file after ReopenContainerLog" {
	local id log
	log=$(log_file turn)
	id=$(launch turn '.command = ["sh", "-c", "i=0; while :; do i=$((i + 1)); echo line $i; sleep 0.05; done"]')
	has_lines() { [ "$(wc -l <"$1")" -ge 3 ]; }
	within 5 has_lines "$log"
	mv "$log" "$log.1"
	is "$(rpc_code ReopenContainerLog "{\"container_id\": \"$id\"}")" OK
	within 5 has_lines "$log"
	crictl stop -t 0 "$id" >/dev/null
	# Nothing lost, nothing twice.
	awk '{ print $5 }' "$log.1" "$log" | awk '$1 != NR { exit 1 }'
	unlike "$(rpc_code ReopenContainerLog "{\"container_id\": \"$id\"}")" "^OK$"
}

@test "mounts: writable, read-only, a file, and one that hides another" {
	local id dir=$BATS_TEST_TMPDIR/data
	mkdir -p "$dir/in"
	printf 'from outside\n' >"$dir/note"
	id=$(launch mounted ".mounts = [{container_path: \"/data\", host_path: \"$dir\"},
		{container_path: \"/fixed\", host_path: \"$dir\", readonly: true},
		{container_path: \"/etc/one-file\", host_path: \"$dir/note\", readonly: true}]")
	is "$(in_container "$id" cat /data/note /etc/one-file)" $'from outside\nfrom outside'
	in_container "$id" sh -c 'echo from inside >/data/in/answer'
	is "$(cat "$dir/in/answer")" "from inside"
	run in_container "$id" sh -c 'echo no >/fixed/note'
	[ "$status" -ne 0 ]
	like "$output" "Read-only file system"
	run in_container "$id" sh -c 'echo no >/etc/one-file'
	[ "$status" -ne 0 ]
	is "$(container_field "$id" '[.mounts[] | "\(.containerPath) \(.readonly)"] | sort | join(", ")')" \
		"/data false, /etc/one-file true, /fixed true"
}

@test "environment, working directory, arguments" {
	local id
	id=$(run_to_end given 'pwd; echo "$ONE|$TWO|$PATH"' '| .working_dir = "/var/log" |
		.envs = [{key: "ONE", value: "a b"}, {key: "TWO", value: "x=y"}]')
	is "$(crictl logs "$id")" $'/var/log\na b|x=y|/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
	id=$(launch args '.command = ["sh", "-c", "echo \"$0:$1\""] | .args = ["first", "second  word"]')
	within 5 has_exited "$id"
	is "$(crictl logs "$id")" "first:second  word"
	id=$(launch making '.working_dir = "/not/there/yet"')
	is "$(in_container "$id" pwd)" /not/there/yet
}

@test "users by number and name, groups, and what the status says of them" {
	local id user='.linux.security_context'
	id=$(launch number "$user = {run_as_user: {value: 1234}, run_as_group: {value: 2345}, supplemental_groups: [10, 20]}")
	is "$(in_container "$id" id -u):$(in_container "$id" id -g)" 1234:2345
	is "$(in_container "$id" id -G | xargs -n 1 | sort -n | xargs)" "10 20 2345"
	is "$(container_field "$id" '.user.linux | "\(.uid):\(.gid)"')" 1234:2345
	is "$(process_line "$id" CapEff)" 0000000000000000 "capabilities of a user"
	# containerd does not name it
	[ "$CRISP_SERVER" != crispd ] || is "$(in_container "$id" id -un) $(in_container "$id" grep -c ^1234: /etc/passwd)" "1234 1"
	# The stdio of a command is given to its user by crun: not with the host's own device.
	is "$(in_container "$id" stat -L -c '%t:%T' /proc/self/fd/0)" 1:3
	within 5 null_is_roots # another run's container may be in the making
	id=$(launch name "$user = {run_as_username: \"www-data\"}")
	is "$(in_container "$id" id -un):$(in_container "$id" id -gn)" www-data:www-data
	id=$(launch root)
	is "$(in_container "$id" id -u):$(in_container "$id" id -g)" 0:0
}

@test "capabilities: the default, one dropped, all dropped but one" {
	local id whole
	id=$(launch default)
	whole=$((16#$(process_line "$id" CapEff)))
	is "$((whole & 1))" 1 "CAP_CHOWN is there"
	is "$((whole >> 21 & 1))" 0 "CAP_SYS_ADMIN is not"
	id=$(launch fewer '.linux.security_context.capabilities = {drop_capabilities: ["CHOWN"]}')
	is "$((16#$(process_line "$id" CapEff)))" "$((whole & ~1))"
	run in_container "$id" chown 1 /etc/issue
	[ "$status" -ne 0 ]
	id=$(launch single '.linux.security_context.capabilities = {drop_capabilities: ["ALL"], add_capabilities: ["NET_ADMIN"]}')
	is "$(process_line "$id" CapEff)" 0000000000001000
	is "$(process_line "$id" CapBnd)" 0000000000001000
	id=$(launch none '.linux.security_context.capabilities = {drop_capabilities: ["ALL"]}')
	is "$(process_line "$id" CapEff)" 0000000000000000
}

@test "seccomp: a filter for RuntimeDefault, none for Unconfined; no_new_privs as asked" {
	local id
	id=$(launch filtered '.linux.security_context = {seccomp: {profile_type: 0}, no_new_privs: true}')
	is "$(process_line "$id" Seccomp)" 2
	is "$(process_line "$id" NoNewPrivs)" 1
	is "$(awk '/^Seccomp:/ { print $2 }' "/proc/$(crictl inspect "$id" | jq -r .info.pid)/status")" 2
	run in_container "$id" unshare -m true
	[ "$status" -ne 0 ]
	id=$(launch open '.linux.security_context = {seccomp: {profile_type: 1}, no_new_privs: false}')
	is "$(process_line "$id" Seccomp)" 0
	is "$(process_line "$id" NoNewPrivs)" 0
}

@test "read-only root, masked and read-only paths" {
	local id
	id=$(launch closed ".linux.security_context = {readonly_rootfs: true, masked_paths: [\"/etc/issue\", \"/bin\"],
		readonly_paths: [\"/dev/shm\"]} | .linux.security_context.masked_paths = [\"/etc/issue\", \"/usr/bin\"]")
	run in_container "$id" sh -c 'echo no >/etc/new'
	[ "$status" -ne 0 ]
	like "$output" "Read-only file system"
	is "$(in_container "$id" cat /etc/issue)" "" "a masked file"
	is "$(in_container "$id" ls -A /usr/bin)" "" "a masked folder"
	run in_container "$id" sh -c 'echo no >/dev/shm/new'
	[ "$status" -ne 0 ]
	id=$(launch wide)
	is "$(in_container "$id" sh -c 'echo yes >/etc/new; cat /etc/new /etc/issue')" $'yes\ncrisp fixture'
}

@test "proc and sys are closed to an ordinary container and open to a privileged one" {
	local id
	id=$(launch ordinary)
	run in_container "$id" sh -c 'echo 1 >/sys/kernel/mm/ksm/run'
	[ "$status" -ne 0 ]
	like "$(in_container "$id" grep ' /sys ' /proc/mounts)" " ro,"
	remove_pods
	POD=$(run_pod here '.linux.security_context.privileged = true')
	id=$(launch mighty '.linux.security_context.privileged = true')
	like "$(in_container "$id" grep ' /sys ' /proc/mounts)" " rw,"
	is "$(process_line "$id" Seccomp)" 0
	[ "$((16#$(process_line "$id" CapEff)))" -gt "$((16#5fb))" ]
}

@test "standard input: none means end of file at once" {
	is "$(crictl logs "$(run_to_end quiet 'cat; echo done')")" "done"
}

# one_of_many N: a pod with a running container, its id in a file.
one_of_many() {
	local pod
	pod=$(run_pod "many-$1") && run_container "$pod" "many-$1" "work-$1" >/dev/null && printf '%s\n' "$pod" >"$BATS_TEST_TMPDIR/many.$1"
}

end_one() {
	crictl stopp "$1" && crictl rmp "$1"
}

@test "20 pods with a container each, started and stopped at the same time" {
	local i from
	from=$(now_ms)
	for i in {1..20}; do one_of_many "$i" & done
	wait
	printf '# 20 pods started in %s ms\n' "$(($(now_ms) - from))" >&3
	is "$(cat "$BATS_TEST_TMPDIR"/many.* | sort -u | wc -l)" 20
	is "$(crictl ps -q | wc -l)" 20
	is "$(find /var/lib/cni/networks/crisp-it -name '10.88.*' | wc -l)" 21 "addresses"
	from=$(now_ms)
	for i in {1..20}; do end_one "$(cat "$BATS_TEST_TMPDIR/many.$i")" >"$BATS_TEST_TMPDIR/end.$i" 2>&1 & done
	wait
	printf '# and stopped in %s ms\n' "$(($(now_ms) - from))" >&3
	is "$(crictl pods -q)" "$POD"
	is "$(crictl ps -aq)" ""
}

@test "nothing is left behind" { census_is_clean; }
