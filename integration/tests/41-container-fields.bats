# Fields of ContainerConfig that 40-container does not show, and rows of the table of published vulnerabilities, each named: users,
# groups, capabilities, annotations and passwd as a container gets them.

load ../lib/helper

setup_file() { suite_start; }
teardown_file() { suite_end; }
setup() { [[ $BATS_TEST_DESCRIPTION == nothing* ]] || POD=$(run_pod here); }
teardown() {
	after_test
	local place
	for place in "$BATS_TEST_TMPDIR"/volume/*/ "$BATS_TEST_TMPDIR/volume"; do
		umount "$place" 2>/dev/null || true
	done
}

SECURITY=.linux.security_context

# launch NAME [FILTER]: in this test's pod, started; prints the id.
launch() {
	run_container "$POD" here "$@"
}

pid_of() {
	crictl inspect "$1" | jq -r .info.pid
}

# status_of ID FIELD: of the container's own process; status_inside: of a command run in it.
status_of() {
	awk -v field="$2:" '$1 == field { print $2 }' "/proc/$(pid_of "$1")/status"
}

status_inside() {
	in_container "$1" cat /proc/self/status | awk -v field="$2:" '$1 == field { print $2 }'
}

# A volume with a mount of its own below it, shared with whoever asks for that.
shared_volume() {
	mkdir -p "$BATS_TEST_TMPDIR/volume"
	mount -t tmpfs volume "$BATS_TEST_TMPDIR/volume"
	mount --make-shared "$BATS_TEST_TMPDIR/volume"
}

mount_below() { # NAME
	mkdir "$BATS_TEST_TMPDIR/volume/$1"
	mount -t tmpfs "$1" "$BATS_TEST_TMPDIR/volume/$1"
	: >"$BATS_TEST_TMPDIR/volume/$1/file"
}

# ---- rows of the table ----

@test "CVE-2022-24769 CVE-2022-27649 CVE-2022-27650 CVE-2022-27652 CVE-2022-29162: nothing inheritable or ambient, in a container and its execs" {
	local id field user=""
	for user in '.' "$SECURITY = {run_as_user: {value: 1234}}" \
		"$SECURITY = {run_as_user: {value: 1234}, capabilities: {add_capabilities: [\"NET_ADMIN\"]}}"; do
		id=$(launch "c$RANDOM" "$user")
		for field in CapInh CapAmb; do
			is "$(status_of "$id" $field)" 0000000000000000 "$field of the container with $user"
			is "$(status_inside "$id" $field)" 0000000000000000 "$field of an exec with $user"
		done
	done
}

@test "the process of a default container: NoNewPrivs and Seccomp as asked, ambient capabilities for who asks" {
	local id
	id=$(launch plain)
	is "$(status_of "$id" NoNewPrivs) $(status_inside "$id" NoNewPrivs)" "0 0"
	id=$(launch strict "$SECURITY = {no_new_privs: true, seccomp: {profile_type: 0}}")
	is "$(status_of "$id" NoNewPrivs) $(status_inside "$id" NoNewPrivs)" "1 1"
	is "$(status_of "$id" Seccomp) $(status_inside "$id" Seccomp)" "2 2"
	id=$(launch ambient "$SECURITY = {run_as_user: {value: 1234},
		capabilities: {add_capabilities: [\"NET_ADMIN\"], add_ambient_capabilities: [\"NET_ADMIN\"]}}")
	is "$(status_of "$id" CapAmb)" 0000000000001000
	is "$(status_of "$id" CapEff)" 0000000000001000
}

@test "CVE-2022-2995 CVE-2023-25173: the primary group is among the groups; Merge adds the image's, Strict does not" {
	local id
	id=$(launch primary "$SECURITY = {run_as_user: {value: 1234}, run_as_group: {value: 2345}}")
	is "$(sed -n 's/^Groups:[[:space:]]*//p' "/proc/$(pid_of "$id")/status" | xargs -n 1 | sort -un | xargs)" 2345
	is "$(in_container "$id" id -G)" 2345
	only_crisp
	id=$(launch both "$SECURITY = {run_as_user: {value: 1234}, run_as_group: {value: 2345}, supplemental_groups: [10], supplemental_groups_policy: 1}")
	is "$(in_container "$id" id -G | xargs -n 1 | sort -n | xargs)" "10 2345"
	is "$(container_field "$id" '.user.linux.supplementalGroups | map(tonumber) | sort | tojson')" "[10,2345]"
}

@test "CVE-2026-30892: a user without a group is that user, in the container and its execs" {
	local id
	id=$(launch one "$SECURITY = {run_as_user: {value: 1}}")
	is "$(status_of "$id" Uid)" 1
	is "$(in_container "$id" id -u)" 1
	is "$(status_inside "$id" CapEff)" 0000000000000000
}

@test "CVE-2022-4318 CVE-2026-15809: a HOME with newlines writes no line into passwd" {
	local id before
	id=$(launch plain)
	before=$(in_container "$id" cat /etc/passwd)
	id=$(launch evil "$SECURITY = {run_as_user: {value: 1234}} | .envs = [{key: \"HOME\", value: \"/tmp\\nevil::0:0::/:/bin/sh\\n\"}]") || return 0
	is "$(in_container "$id" sh -c 'grep -c evil /etc/passwd; :')" 0
	is "$(in_container "$id" cat /etc/passwd | grep -v '^1234:')" "$before"
	# As text, too: the mistake of the first fix.
	id=$(launch text "$SECURITY = {run_as_user: {value: 1234}} | .envs = [{key: \"HOME\", value: \"/tmp\\\\nevil::0:0::/:/bin/sh\"}]") || return 0
	is "$(in_container "$id" sh -c 'grep -c ^evil /etc/passwd; :')" 0
}

@test "CVE-2021-43784: mounts with very long texts are given whole, or refused" {
	local id path
	path=$(head -c 3000 /dev/zero | tr '\0' a | sed 's/.\{200\}/&\//g; s,/$,,')
	mkdir -p "$BATS_TEST_TMPDIR/source"
	: >"$BATS_TEST_TMPDIR/source/here"
	if id=$(launch long ".mounts = [range(20) | {host_path: \"$BATS_TEST_TMPDIR/source\", container_path: \"/\(.)/$path\"}]"); then
		is "$(in_container "$id" ls "/19/$path")" here
		is "$(grep -cF "$path" "/proc/$(pid_of "$id")/mountinfo")" 20
	fi
}

# ---- fields ----

@test "devices: a node of the host under another name; a privileged container has the host's" {
	local id
	id=$(launch given '.devices = [{host_path: "/dev/zero", container_path: "/dev/mine", permissions: "r"}]')
	is "$(in_container "$id" stat -c '%t:%T' /dev/mine)" 1:5
	is "$(in_container "$id" sh -c 'head -c 3 /dev/mine | wc -c')" 3
	run in_container "$id" ls /dev/kmsg
	[ "$status" -ne 0 ]
	[ -c /dev/kmsg ] || return 0
	POD=$(run_pod wide ".linux.security_context.privileged = true")
	id=$(run_container "$POD" wide all "$SECURITY.privileged = true")
	is "$(in_container "$id" stat -c '%t:%T' /dev/kmsg)" "$(stat -c '%t:%T' /dev/kmsg)"
}

@test "propagation: PRIVATE sees no later mount, HOST_TO_CONTAINER does, BIDIRECTIONAL gives the host its own" {
	local private follows gives
	shared_volume
	private=$(launch private ".mounts = [{host_path: \"$BATS_TEST_TMPDIR/volume\", container_path: \"/data\"}]")
	follows=$(launch follows ".mounts = [{host_path: \"$BATS_TEST_TMPDIR/volume\", container_path: \"/data\", propagation: 1}]")
	mount_below later
	is "$(in_container "$follows" ls /data/later)" file
	is "$(in_container "$private" ls /data/later)" ""
	POD=$(run_pod wide ".linux.security_context.privileged = true")
	gives=$(run_container "$POD" wide gives "$SECURITY.privileged = true
		| .mounts = [{host_path: \"$BATS_TEST_TMPDIR/volume\", container_path: \"/data\", propagation: 2}]")
	in_container "$gives" sh -c 'mkdir /data/inside && mount -t tmpfs inside /data/inside && : >/data/inside/mine'
	is "$(ls "$BATS_TEST_TMPDIR/volume/inside")" mine
	is "$(in_container "$follows" ls /data/inside)" mine
}

@test "all of the host as a volume has what is mounted on it; a volume inside another follows the host's mounts, as does that" {
	local all both
	shared_volume
	mount_below inner
	all=$(launch all '.mounts = [{host_path: "/", container_path: "/host", readonly: true}]')
	both=$(launch both ".mounts = [{host_path: \"$BATS_TEST_TMPDIR/volume\", container_path: \"/data\", propagation: 1},
		{host_path: \"$BATS_TEST_TMPDIR/volume/inner\", container_path: \"/inner\", propagation: 1}]")
	is "$(in_container "$all" ls "/host$BATS_TEST_TMPDIR/volume/inner")" file
	mount_below later
	mount_below inner/later
	is "$(in_container "$both" ls /data/later)" file
	is "$(in_container "$both" ls /inner/later)" file
	umount "$BATS_TEST_TMPDIR/volume/inner/later"
}

@test "readonly covers the volume alone, recursive_read_only what is mounted below it, too" {
	local id
	shared_volume
	mount_below sub
	id=$(launch one ".mounts = [{host_path: \"$BATS_TEST_TMPDIR/volume\", container_path: \"/data\", readonly: true}]")
	run in_container "$id" sh -c 'echo no >/data/file'
	[ "$status" -ne 0 ]
	in_container "$id" sh -c 'echo yes >/data/sub/file'
	only_crisp
	id=$(launch all ".mounts = [{host_path: \"$BATS_TEST_TMPDIR/volume\", container_path: \"/data\", readonly: true, recursive_read_only: true}]")
	run in_container "$id" sh -c 'echo no >/data/sub/file'
	[ "$status" -ne 0 ]
	like "$output" "Read-only file system"
	is "$(container_field "$id" '.mounts[0].recursiveReadOnly')" true
}

@test "PID mode TARGET: the processes of another container of the pod, and no others'" {
	only_crisp
	local one two alone own='{pid: 1}'
	one=$(launch one "$SECURITY.namespace_options = $own | .command = [\"sleep\", \"7654\"]")
	alone=$(launch alone "$SECURITY.namespace_options = $own")
	two=$(launch two "$SECURITY.namespace_options = {pid: 3, target_id: \"$one\"}")
	is "$(readlink "/proc/$(pid_of "$two")/ns/pid")" "$(readlink "/proc/$(pid_of "$one")/ns/pid")"
	is "$(in_container "$two" sh -c 'tr "\0" " " </proc/1/cmdline')" "sleep 7654 "
	unlike "$(readlink "/proc/$(pid_of "$two")/ns/pid")" "^$(readlink "/proc/$(pid_of "$alone")/ns/pid" | sed 's/[][]/\\&/g')$"
	refused NotFound CreateContainer "$(jq -nc --arg pod "$POD" --arg image "$BUSYBOX" --slurpfile config "$BATS_TEST_TMPDIR/here.pod.json" \
		'{pod_sandbox_id: $pod, sandbox_config: $config[0], config: {metadata: {name: "bad"}, image: {image: $image}, command: ["true"],
		linux: {security_context: {namespace_options: {pid: 3, target_id: "0123456789abcdef"}}}}}')"
}

@test "oom_score_adj, and a stop signal of the request's own" {
	local id
	id=$(launch one '.linux.resources = {oom_score_adj: 500}')
	is "$(cat "/proc/$(pid_of "$id")/oom_score_adj")" 500
	only_crisp
	# SIGHUP is 8 in the CRI's list.
	id=$(launch two '.stop_signal = 8 | .command = ["sh", "-c", "trap \"exit 7\" HUP; trap \"exit 8\" TERM; : >/ready; while :; do sleep 0.1; done"]')
	within 10 in_container "$id" test -e /ready
	like "$(container_field "$id" .stopSignal)" 'SIGHUP$'
	crictl stop -t 20 "$id" >/dev/null
	is "$(container_field "$id" .exitCode)" 7
}

@test "labels, annotations and the log's path are told as they were given" {
	local id
	id=$(launch one '.labels = {"a/b": "c", empty: ""} | .annotations = {"x.y/z": "line\none \"two\"", n: "1"}')
	is "$(container_field "$id" '.labels | tojson' | jq -Sc .)" '{"a/b":"c","empty":""}'
	is "$(container_field "$id" '.annotations | tojson' | jq -Sc .)" '{"n":"1","x.y/z":"line\none \"two\""}'
	is "$(container_field "$id" .logPath)" "$BATS_TEST_TMPDIR/logs/one.log"
}

@test "SELinux options and relabelling have no effect where the host has no SELinux" {
	only_crisp
	[ ! -e /sys/fs/selinux/enforce ] || skip "this host has SELinux"
	local id
	mkdir "$BATS_TEST_TMPDIR/labelled"
	id=$(launch one "$SECURITY.selinux_options = {type: \"spc_t\", level: \"s0:c1,c2\"}
		| .mounts = [{host_path: \"$BATS_TEST_TMPDIR/labelled\", container_path: \"/data\", selinux_relabel: true}]")
	is "$(in_container "$id" echo here)" here
	is "$(jq -c '[.process.selinuxLabel, .linux.mountLabel]' "$CRISP_ROOT/containers/$id/bundle/config.json")" '[null,null]'
}

@test "classes of blockio and RDT: refused, in words" {
	only_crisp
	local id
	POD=$(run_pod classy '.annotations["blockio.resources.beta.kubernetes.io/container.one"] = "gold"')
	run create_container "$POD" classy one
	[ "$status" -ne 0 ]
	like "$output" 'blockio class .*gold.* crisp does not do blockio classes'
	id=$(run_container "$POD" classy other)
	is "$(in_container "$id" echo here)" here
}

@test "supplemental groups: Merge adds those that the image's group file gives the user, Strict only what is asked" {
	only_crisp
	local id image="$STAGING/test-image-predefined-group:latest" users='run_as_user: {value: 1000}, run_as_group: {value: 1000}'
	crictl pull "$image" >/dev/null
	id=$(launch merge ".image.image = \"$image\" | $SECURITY = {$users, supplemental_groups: [1234]}")
	is "$(in_container "$id" id -G | xargs -n 1 | sort -n | xargs)" "1000 1234 50000"
	is "$(container_field "$id" '.user.linux.supplementalGroups | map(tonumber) | sort | tojson')" "[1000,1234,50000]"
	id=$(launch strict ".image.image = \"$image\" | $SECURITY = {$users, supplemental_groups: [1234], supplemental_groups_policy: 1}")
	is "$(in_container "$id" id -G | xargs -n 1 | sort -n | xargs)" "1000 1234"
	is "$(container_field "$id" '.user.linux.supplementalGroups | map(tonumber) | sort | tojson')" "[1000,1234]"
	remove_pods
	crictl rmi "$image" >/dev/null
}

@test "pids_limit and log_size_max of the configuration are every container's" {
	only_crisp
	local id log="$BATS_TEST_TMPDIR/logs/one.log"
	printf '[crisp.runtime]\nlog_size_max = 20000\n' >"$WORK/crisp.toml.d/limits.toml"
	[ ! -d /sys/fs/cgroup/pids ] || printf 'pids_limit = 77\n' >>"$WORK/crisp.toml.d/limits.toml"
	restart_server
	id=$(launch one '.command = ["sh", "-c", "i=0; while [ $i -lt 2000 ]; do echo line $i of many; i=$((i + 1)); done; : >/done; sleep 1000"]')
	within 20 in_container "$id" test -e /done
	within 5 tail_is_there "$log" "line 1999 of many"
	[ "$(stat -c %s "$log")" -le 24000 ] || { stat "$log"; return 1; }
	if [ -d /sys/fs/cgroup/pids ]; then
		is "$(cat "/sys/fs/cgroup/pids$(awk -F: '$2 == "pids" { print $3 }' "/proc/$(pid_of "$id")/cgroup")/pids.max")" 77
	fi
	rm "$WORK/crisp.toml.d/limits.toml"
	restart_server
}

tail_is_there() {
	tail -n 1 "$1" | grep -q "$2"
}

restart_server() {
	stop_server
	start_server
}

@test "nothing is left behind" { census_is_clean; }
