# With systemd as the cgroup manager: pods are slices, containers are scopes in them, and systemd knows of all.

load ../lib/helper

setup_file() {
	[ "$CRISP_VIEW" = systemd ] || skip "cgroupfs is the manager in this view"
	suite_start
}
teardown_file() { [ "$CRISP_VIEW" != systemd ] || suite_end; }
teardown() { [ "$CRISP_VIEW" != systemd ] || after_test; }

pid_of() {
	crictl inspect "$1" | jq -r .info.pid
}

cgroup_of_pid() {
	sed -n 's/^0:://p' "/proc/$1/cgroup"
}

unit_state() {
	systemctl show -P ActiveState "$1"
}

@test "the kubelet's slice of a pod: made if it is not there, a scope for each container, and kept when the pod goes" {
	local pod container slice=kubepods-burstable-pod6f0c_11.slice path scope
	path=/kubepods.slice/kubepods-burstable.slice/$slice
	pod=$(run_pod kubelet ".linux.cgroup_parent = \"$slice\"")
	is "$(unit_state "$slice")" active
	container=$(run_container "$pod" kubelet one)
	scope=crisp-$container.scope
	is "$(unit_state "$scope")" active
	is "$(cgroup_of_pid "$(pid_of "$container")" | sed 's|/container$||')" "$path/$scope"
	in_container "$container" true
	crictl stop -t 0 "$container" >/dev/null
	gone() { [ "$(unit_state "$1")" != active ]; }
	within 10 gone "$scope"
	crictl rm "$container" >/dev/null
	is "$(systemctl list-units --all --plain --no-legend "$scope")" ""
	crictl rmp -f "$pod" >/dev/null
	is "$(unit_state "$slice")" active "what the kubelet named is never removed"
	systemctl stop kubepods.slice
}

@test "the whole way to the slice may be given; a wrong way, and a cgroupfs path, are refused" {
	local pod request
	pod=$(run_pod way '.linux.cgroup_parent = "/kubepods.slice/kubepods-way.slice"')
	is "$(crictl inspectp "$pod" | jq -r .info.cgroupPath)" /kubepods.slice/kubepods-way.slice
	for parent in /other.slice/kubepods-way.slice /kubepods/pod1 a--b.slice; do
		request=$(jq -c "{config: (. | .linux.cgroup_parent = \"$parent\" | .metadata.attempt = 1)}" "$BATS_TEST_TMPDIR/way.pod.json")
		is "$(rpc_code RunPodSandbox "$request")" InvalidArgument "$parent"
	done
	crictl rmp -f "$pod" >/dev/null
	systemctl stop kubepods.slice
}

@test "a pod without a parent has a slice of its own, which goes with it" {
	local pod container slice
	pod=$(run_pod own 'del(.linux.cgroup_parent)')
	slice=crisp-pods-pod$pod.slice
	is "$(unit_state "$slice")" active
	container=$(run_container "$pod" own one)
	like "$(cgroup_of_pid "$(pid_of "$container")")" "^/crisp.slice/crisp-pods.slice/$slice/crisp-$container.scope"
	crictl rmp -f "$pod" >/dev/null
	is "$(systemctl list-units --all --plain --no-legend "$slice")" ""
	is "$(find /sys/fs/cgroup -name "*$pod*")" ""
}

@test "a daemon-reload changes nothing for pods and containers" {
	local pod container pid before
	pod=$(run_pod reloaded)
	container=$(run_container "$pod" reloaded one)
	pid=$(pid_of "$container")
	before=$(cgroup_of_pid "$pid")
	systemctl daemon-reload
	is "$(cgroup_of_pid "$pid")" "$before"
	in_container "$container" true
	crictl stop -t 5 "$container" >/dev/null
	is "$(container_field "$container" .exitCode)" 0
}

@test "shared PID namespace, host PID: everything in the scope is killed with the container" {
	local pod container stray
	pod=$(run_pod strays '.linux.security_context.namespace_options.pid = 2')
	container=$(run_container "$pod" strays one '.linux.security_context.namespace_options = {pid: 2}
		| .command = ["sh", "-c", "trap \"\" TERM; (setsid sleep 4711 &); while :; do sleep 0.2; done"]')
	stray() { pgrep -f 'sleep 4711'; }
	within 10 stray >/dev/null
	crictl stop -t 0 "$container" >/dev/null
	no_stray() { ! stray >/dev/null; }
	within 10 no_stray
}

@test "nothing is left behind" { census_is_clean; }
