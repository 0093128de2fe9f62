# User namespaces of pods (hostUsers: false): who is who inside and on the host, what crisp provides belongs to the pod's root,
# images and volumes are seen with mapped ids, and nothing of it is left behind.

load ../lib/helper

USERNS='{mode: "POD", uids: [{container_id: 0, host_id: 100000, length: 65536}], gids: [{container_id: 0, host_id: 200000, length: 65536}]}'
POD_FILTER=".linux.security_context.namespace_options = {pid: 1, userns_options: $USERNS}"
POD_FILTER=${POD_FILTER//mode: \"POD\"/mode: 0}
CONTAINER_FILTER=${POD_FILTER}

# A first pod with the other runtime too: its state folder stays.
setup_file() {
	suite_start
	if [ "$HANDLER" = runc ] && [ "$CRISP_SERVER" = crispd ]; then
		BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR
		run_container "$(run_mapped warm . runc-new)" warm one "$CONTAINER_FILTER" >/dev/null
		remove_pods
		census_settled >"$BATS_FILE_TMPDIR/census"
	fi
}
teardown_file() { suite_end; }
teardown() {
	after_test
	umount "$BATS_TEST_TMPDIR/volume" 2>/dev/null || true
}

# For volumes: Debian's runc has no idmapped mounts.
with_volumes() {
	if [ "$HANDLER" = runc ]; then printf 'runc-new\n'; else printf '%s\n' "$HANDLER"; fi
}

# run_mapped NAME [FILTER [RUNTIME]]: a pod with a user namespace; prints the id.
run_mapped() {
	crictl runp --runtime "${3:-$HANDLER}" "$(pod_file "$1" "$POD_FILTER | ${2:-.}")"
}

pid_of() {
	crictl inspect "$1" | jq -r .info.pid
}

@test "info: user namespaces where runtime and kernel can" {
	local features
	only_crisp
	features() { crictl info | jq -r --arg name "$1" '.runtimeHandlers[] | select(.name == $name) | .features.user_namespaces'; }
	is "$(features crun)" true crun
	is "$(features runc-new)" true runc-new
	is "$(features runc)" null "Debian's runc has no idmapped mounts"
	is "$(crictl info | jq -r .features.user_namespaces_host_network)" true
}

@test "root inside is somebody else on the host; the namespaces are the pod's" {
	local pod container pid
	pod=$(run_mapped mapped)
	is "$(pod_field "$pod" '.linux.namespaces.options.usernsOptions.uids[0] | "\(.hostId) \(.length)"')" "100000 65536"
	container=$(run_container "$pod" mapped one "$CONTAINER_FILTER
		| .linux.security_context.capabilities.add_capabilities = [\"NET_ADMIN\", \"SYS_ADMIN\"]")
	is "$(in_container "$container" id -u)" 0
	is "$(in_container "$container" sh -c 'cat /proc/self/uid_map' | tr -s ' ')" " 0 100000 65536"
	is "$(in_container "$container" sh -c 'cat /proc/self/gid_map' | tr -s ' ')" " 0 200000 65536"
	pid=$(pid_of "$container")
	is "$(stat -c '%u %g' "/proc/$pid")" "100000 200000"
	is "$(readlink "/proc/$pid/ns/user")" "$(readlink "/proc/$(crictl inspectp "$pod" | jq -r .info.pid)/ns/user")"
	# root there may change what belongs to its own network namespace
	in_container "$container" ip link set lo mtu 1400
	like "$(nsenter -t "$pid" -n ip -o link show lo)" 'mtu 1400 '
	# and nothing that is the host's
	run in_container "$container" sh -c 'echo 1 >/proc/sys/kernel/panic || mknod /x c 1 1'
	[ "$status" -ne 0 ]
}

@test "the image's files keep their owners, root's are root's; what is written goes to the mapped ids" {
	local pod container upper
	pod=$(run_mapped files)
	container=$(run_container "$pod" files one "$CONTAINER_FILTER")
	is "$(in_container "$container" stat -c '%u %g' /bin/busybox)" "0 0"
	is "$(in_container "$container" stat -c '%u %g' /)" "0 0"
	in_container "$container" sh -c 'echo new >/new && chown 1000:1001 /new && mkdir /etc/own && echo x >>/etc/passwd'
	is "$(in_container "$container" stat -c '%u %g' /new)" "1000 1001"
	upper=$CRISP_ROOT/containers/$container/upper
	if [ "$CRISP_SERVER" = crispd ]; then
		is "$(stat -c '%u %g' "$upper/new")" "101000 201001"
		is "$(stat -c '%u %g' "$upper/etc/own")" "100000 200000"
		# other users of the host do not get there
		run setpriv --reuid 12345 --regid 12345 --clear-groups ls "$CRISP_ROOT/containers/$container"
		[ "$status" -ne 0 ]
		run setpriv --reuid 12345 --regid 12345 --clear-groups ls "/run/crisp/pods/$pod/layers"
		[ "$status" -ne 0 ]
	fi
}

@test "hosts, hostname, resolv.conf, shm, proc and sys belong to the pod's root" {
	local pod container file
	pod=$(run_mapped provided '.dns_config.servers = ["192.0.2.53"]')
	container=$(run_container "$pod" provided one "$CONTAINER_FILTER")
	for file in /etc/hosts /etc/hostname /etc/resolv.conf /dev/shm; do
		is "$(in_container "$container" stat -c '%u %g' "$file")" "0 0" "$file"
	done
	is "$(in_container "$container" cat /etc/hostname)" provided
	like "$(in_container "$container" cat /etc/resolv.conf)" 192.0.2.53
	in_container "$container" sh -c 'echo x >/dev/shm/x && chown 7:8 /dev/shm/x'
	is "$(in_container "$container" stat -c '%u %g' /proc/1 /dev/shm/x | xargs)" "0 0 7 8"
	in_container "$container" cat /sys/class/net/eth0/address >/dev/null
}

@test "users of the image and of the request, and one that has no counterpart" {
	local pod container
	pod=$(run_mapped users)
	container=$(run_container "$pod" users one "$CONTAINER_FILTER | .linux.security_context.run_as_user = {value: 1234}
		| .linux.security_context.run_as_group = {value: 4321} | .linux.security_context.supplemental_groups = [99]")
	is "$(in_container "$container" sh -c 'id -u; id -g; id -G' | xargs)" "1234 4321 4321 99"
	is "$(stat -c '%u %g' "/proc/$(pid_of "$container")")" "101234 204321"
	run create_container "$pod" users two "$CONTAINER_FILTER | .linux.security_context.run_as_user = {value: 70000}"
	[ "$status" -ne 0 ]
	[ "$CRISP_SERVER" != crispd ] || like "$output" "not mapped in the pod's user namespace"
}

@test "two pods with ranges of their own; a shared PID namespace; nginx answers" {
	local one two first second ip
	one=$(run_mapped one '.linux.security_context.namespace_options.pid = 0')
	two=$(run_mapped two '.linux.security_context.namespace_options.userns_options.uids[0].host_id = 300000
		| .linux.security_context.namespace_options.userns_options.gids[0].host_id = 300000')
	first=$(run_container "$one" one web "$CONTAINER_FILTER | .linux.security_context.namespace_options.pid = 0
		| .image.image = \"$NGINX\" | del(.command)")
	second=$(run_container "$two" two box "$CONTAINER_FILTER
		| .linux.security_context.namespace_options.userns_options.uids[0].host_id = 300000
		| .linux.security_context.namespace_options.userns_options.gids[0].host_id = 300000")
	ip=$(pod_field "$one" .network.ip)
	hello() { [ "$(in_container "$second" wget -qO- "http://$ip")" = "hello from nginx" ]; }
	within 10 hello
	is "$(stat -c %u "/proc/$(pid_of "$second")")" 300000
	is "$(in_container "$first" cat /proc/1/comm)" crisp-pause
}

@test "a volume with mappings: the container's root is the owner that the host sees" {
	local pod container dir=$BATS_TEST_TMPDIR/volume
	mkdir "$dir"
	mount -t tmpfs -o mode=755 tmpfs "$dir"
	printf 'from outside\n' >"$dir/file"
	chown 5:6 "$dir/file"
	pod=$(run_mapped volumes . "$(with_volumes)")
	container=$(run_container "$pod" volumes one "$CONTAINER_FILTER | .mounts = [{container_path: \"/data\", host_path: \"$dir\",
		uidMappings: $USERNS.uids, gidMappings: $USERNS.gids}]")
	is "$(in_container "$container" stat -c '%u %g' /data /data/file | xargs)" "0 0 5 6"
	in_container "$container" sh -c 'echo in >/data/new'
	is "$(stat -c '%u %g' "$dir/new")" "0 0"
}

@test "without idmapped mounts in the runtime a volume with mappings is refused" {
	local pod dir=$BATS_TEST_TMPDIR
	only_crisp
	pod=$(run_mapped old . runc)
	run create_container "$pod" old one "$CONTAINER_FILTER | .mounts = [{container_path: \"/data\", host_path: \"$dir\",
		uidMappings: $USERNS.uids, gidMappings: $USERNS.gids}]"
	[ "$status" -ne 0 ]
	like "$output" "FailedPrecondition.*idmapped mounts"
}

@test "the host's /dev/null is root's before a container has started" {
	local pod
	pod=$(run_mapped null)
	run_container "$pod" null one >/dev/null
	within 5 null_is_roots # another run's container may be in the making
}

@test "with the host's network" {
	local pod container
	pod=$(run_mapped hosted '.linux.security_context.namespace_options.network = 2')
	container=$(run_container "$pod" hosted one "$CONTAINER_FILTER | .linux.security_context.namespace_options.network = 2
		| .linux.security_context.capabilities.add_capabilities = [\"NET_ADMIN\"]")
	is "$(readlink "/proc/$(pid_of "$container")/ns/net")" "$(readlink /proc/self/ns/net)"
	is "$(stat -c %u "/proc/$(pid_of "$container")")" 100000
	in_container "$container" cat /sys/class/net/lo/address >/dev/null
	run in_container "$container" ip link set lo mtu 1400
	[ "$status" -ne 0 ]
}

@test "exec, limits, seccomp and capabilities are as without" {
	local pod container
	pod=$(run_mapped limits)
	container=$(run_container "$pod" limits one "$CONTAINER_FILTER | .linux.resources = {oom_score_adj: 500}
		| .linux.security_context.seccomp = {profile_type: 0}")
	is "$(in_container "$container" sh -c 'exec 2>&1; grep -E "^(Seccomp|CapEff):" /proc/self/status' | xargs)" \
		"CapEff: 00000000000005fb Seccomp: 2"
	is "$(in_container "$container" cat /proc/1/oom_score_adj)" 500
	is "$(in_container "$container" id -u)" 0
}

@test "CVE-2025-47291: a container of a pod with a user namespace is below its pod's cgroup" {
	only_crisp
	local pod id
	pod=$(run_mapped inside)
	id=$(run_container "$pod" inside one "$CONTAINER_FILTER")
	like "$(cat "/proc/$(pid_of "$id")/cgroup")" "$(crictl inspectp "$pod" | jq -r .info.cgroupPath)/[^/]*$id"
}

@test "[9] bad mappings, and containers that want others than their pod" {
	local pod json
	only_crisp
	pod=$(run_mapped strict)
	run create_container "$pod" strict one "$CONTAINER_FILTER
		| .linux.security_context.namespace_options.userns_options.uids[0].host_id = 100001"
	[ "$status" -ne 0 ]
	like "$output" "InvalidArgument.*not those of the pod"
	run run_mapped host-ipc '.linux.security_context.namespace_options.ipc = 2'
	like "$output" "InvalidArgument.*host's IPC or PID"
	run run_mapped host-root '.linux.security_context.namespace_options.userns_options.uids[0].host_id = 0'
	like "$output" "InvalidArgument.*host's id 0"
	is "$(crictl pods -q | wc -l)" 1
}

@test "kill -9: a pod with a user namespace goes on, takes new containers, and goes" {
	local pod container
	only_crisp
	pod=$(run_mapped killed)
	container=$(run_container "$pod" killed one "$CONTAINER_FILTER")
	stop_server KILL
	start_server
	is "$(pod_field "$pod" .state)" SANDBOX_READY
	is "$(in_container "$container" id -u)" 0
	container=$(run_container "$pod" killed two "$CONTAINER_FILTER")
	is "$(in_container "$container" stat -c %u /bin/busybox)" 0
	crictl stopp "$pod" >/dev/null
	crictl rmp "$pod" >/dev/null
	[ ! -e "/run/crisp/pods/$pod" ]
}

@test "nothing is left behind" { census_is_clean; }
