# What may befall a pod while it is made, lives and goes: crowds of equal calls, callers that go away, a reboot, things that stay
# busy. (Rows of the fault matrix are named in brackets.)

load ../lib/helper

# Without masquerading: the bridge plugin cannot take those rules back once the network namespace is gone.
install_cni() {
	jq '.plugins[0].ipMasq = false' "$CRISP_IT/bench/10-bench.conflist" >/etc/cni/net.d/10-bench.conflist
}

setup_file() { slow_suite_start; }
teardown_file() { suite_end; }
teardown() {
	rm -f "$WORK/slow"
	umount /proc/sys/kernel/random/boot_id 2>/dev/null || true
	crictl version >/dev/null 2>&1 || { stop_server KILL; start_server; }
	after_test
}

# run_request FILE: the JSON of a RunPodSandbox request.
run_request() {
	jq -c '{config: .}' "$1"
}

@test "[31] a hundred equal RunPodSandbox at once, the first caller gone: one pod, its id for the 99 others" {
	only_crisp
	local request pod
	request=$(run_request "$(pod_file crowd)")
	be_slow_in ADD
	crirpc -e "$SERVER_SOCKET" -cancel 2s RunPodSandbox "$request" >"$BATS_TEST_TMPDIR/first" 3>&- &
	within 20 reached
	crirpc -e "$SERVER_SOCKET" -n 99 RunPodSandbox "$request" >"$BATS_TEST_TMPDIR/others" 3>&- &
	first_gone() { grep -q "^Canceled" "$BATS_TEST_TMPDIR/first"; }
	within 20 first_gone
	is "$(crictl pods -q)" "" "not before it is ready"
	rm "$WORK/slow"
	wait
	pod=$(crictl pods -q)
	is "$(wc -w <<<"$pod")" 1
	is "$(sort "$BATS_TEST_TMPDIR/others" | uniq -c | tr -d ' ')" "99OK{\"podSandboxId\":\"$pod\"}"
	is "$(pgrep -c crisp-pause)" 1
}

@test "[31] each of the waiting has its own deadline; a retry after DeadlineExceeded gets the finished pod" {
	only_crisp
	local request begin
	request=$(run_request "$(pod_file patient)")
	be_slow_in ADD
	begin=$(now_ms)
	is "$(crirpc -e "$SERVER_SOCKET" -t "${CRISP_SLOW}s" RunPodSandbox "$request" | head -n 1)" DeadlineExceeded
	[ $(($(now_ms) - begin)) -lt $((5000 * CRISP_SLOW)) ]
	crirpc -e "$SERVER_SOCKET" RunPodSandbox "$request" >"$BATS_TEST_TMPDIR/retry" 3>&- &
	is "$(crirpc -e "$SERVER_SOCKET" -t "${CRISP_SLOW}s" RunPodSandbox "$request" | head -n 1)" DeadlineExceeded
	rm "$WORK/slow"
	wait
	is "$(head -n 1 "$BATS_TEST_TMPDIR/retry")" OK
	is "$(sed -n 3p "$BATS_TEST_TMPDIR/retry" | jq -r .podSandboxId)" "$(crictl pods -q)"
	is "$(crirpc -e "$SERVER_SOCKET" RunPodSandbox "$request" | sed -n 3p | jq -r .podSandboxId)" "$(crictl pods -q)"
}

@test "[30] callers that go away at any moment and try again: one pod, one container each, and nothing else" {
	only_crisp
	local request pod delay file
	file=$(pod_file fickle)
	request=$(run_request "$file")
	for delay in 1 3 6 10 15 20 30 40 60 80; do
		crirpc -e "$SERVER_SOCKET" -cancel "${delay}ms" RunPodSandbox "$request" >/dev/null
	done
	is "$(crirpc -e "$SERVER_SOCKET" RunPodSandbox "$request" | head -n 1)" OK
	pod=$(crictl pods -q)
	is "$(wc -w <<<"$pod")" 1
	is "$(pgrep -c crisp-pause)" 1
	request=$(jq -c --arg pod "$pod" --arg image "$BUSYBOX" '{pod_sandbox_id: $pod, sandbox_config: .,
		config: {metadata: {name: "one"}, image: {image: $image}, command: ["sleep", "1000"]}}' "$file")
	for delay in 1 5 10 20 30 40 60 80 100; do
		crirpc -e "$SERVER_SOCKET" -cancel "${delay}ms" CreateContainer "$request" >/dev/null
	done
	is "$(crirpc -e "$SERVER_SOCKET" CreateContainer "$request" | head -n 1)" OK
	is "$(crictl ps -aq | wc -l)" 1
	one_monitor() { [ "$(pgrep -c conmon)" = 1 ]; }
	within 10 one_monitor
	request="{\"pod_sandbox_id\": \"$pod\"}"
	for delay in 1 5 10 20 40; do
		crirpc -e "$SERVER_SOCKET" -cancel "${delay}ms" StopPodSandbox "$request" >/dev/null
		crirpc -e "$SERVER_SOCKET" -cancel "${delay}ms" RemovePodSandbox "$request" >/dev/null
	done
	is "$(crirpc -e "$SERVER_SOCKET" StopPodSandbox "$request" | head -n 1)" OK
	is "$(crirpc -e "$SERVER_SOCKET" RemovePodSandbox "$request" | head -n 1)" OK
	is "$(crictl pods -q)$(crictl ps -aq)$(pgrep -l 'crisp-pause|conmon')" ""
}

# What a reboot takes away: processes, mounts, /run; and a new boot id.
reboot() {
	local mount runtimes
	mapfile -t runtimes < <(find /run/crisp -mindepth 1 -maxdepth 1 -name '*run*' -printf '%f\n')
	stop_server KILL
	pgrep 'conmon|crisp-pause' | xargs -r kill -KILL 2>/dev/null || true # one may be ending by itself
	# A container is killed with its PID namespace, and conmon is not there to reap: the shell that is PID 1 here does.
	for pid in "$@"; do kill -KILL "$pid" 2>/dev/null || true; done
	for pid in "$@"; do within 10 not_alive "$pid"; done
	awk -v root="$CRISP_ROOT/" '$5 ~ "^/run/crisp/" || ($5 ~ "^" root && $5 != root) { print $5 }' /proc/self/mountinfo | sort -r |
		while read -r mount; do umount -l "$mount" 2>/dev/null || true; done
	find /run/crisp -mindepth 1 -delete
	# The runtimes' own folders, which they make once, are there again as the census knows them.
	mkdir -p "${runtimes[@]/#//run/crisp/}"
	ip -o link show type veth | sed -E 's/^[0-9]+: ([^@:]+).*/\1/' | while read -r link; do ip link del "$link"; done
	cat /proc/sys/kernel/random/uuid >"$BATS_TEST_TMPDIR/boot_id"
	mount --bind "$BATS_TEST_TMPDIR/boot_id" /proc/sys/kernel/random/boot_id
	start_server
}

not_alive() {
	! kill -0 "$1" 2>/dev/null
}

@test "[25] after a reboot every pod is not ready, its containers have ended, its addresses are free, and it goes" {
	only_crisp
	local pod host container second pid other
	pod=$(run_pod before '.port_mappings = [{container_port: 80, host_port: 18090}]')
	container=$(run_container "$pod" before worker)
	pid=$(crictl inspect "$container" | jq -r .info.pid)
	host=$(run_pod hosted '.linux.security_context.namespace_options.network = 2')
	second=$(run_container "$host" hosted worker '.linux.security_context.namespace_options.network = 2')
	other=$(crictl inspect "$second" | jq -r .info.pid)
	reboot "$pid" "$other"
	is "$(crictl pods -q --state NotReady | wc -l)" 2
	is "$(pod_field "$pod" .state) $(pod_field "$host" .state)" "SANDBOX_NOTREADY SANDBOX_NOTREADY"
	is "$(container_field "$container" '"\(.state) \(.exitCode)"')" "CONTAINER_EXITED 255"
	is "$(container_field "$second" .state)" CONTAINER_EXITED
	# what the kubelet does then: the next attempt, and the old one goes
	other=$(run_pod before '.metadata.attempt = 1 | .port_mappings = [{container_port: 80, host_port: 18090}]')
	is "$(pod_field "$other" .state)" SANDBOX_READY
	crictl stopp "$pod" "$host" >/dev/null
	crictl rmp "$pod" "$host" >/dev/null
	is "$(find /var/lib/cni/networks/crisp-it -name '10.*' | wc -l)" 1 "addresses in use"
	is "$(crictl pods -q)" "$other"
	umount /proc/sys/kernel/random/boot_id
	stop_server
	# only this boot's pod is known as running in this boot
	reboot "$(crictl_pause_pid)"
	is "$(pod_field "$other" .state)" SANDBOX_NOTREADY
}

crictl_pause_pid() {
	pgrep crisp-pause | head -n 1
}

@test "[28] the network namespace is taken away, or is a file: the pod stops and goes, its address is free" {
	only_crisp
	local kind pod ip
	for kind in gone file; do
		pod=$(run_pod "netns-$kind")
		ip=$(pod_field "$pod" .network.ip)
		umount -l "/run/crisp/ns/$pod/net"
		[ "$kind" = file ] || rm "/run/crisp/ns/$pod/net"
		crictl stopp "$pod" >/dev/null
		[ ! -e "/var/lib/cni/networks/crisp-it/$ip" ]
		crictl rmp "$pod" >/dev/null
	done
}

@test "[42] a root filesystem that is busy, and a stray process in the cgroup: removal converges, and nothing stays" {
	only_crisp
	local pod container stray rootfs
	pod=$(run_pod busy 'del(.linux.cgroup_parent)')
	container=$(run_container "$pod" busy worker)
	rootfs=$CRISP_ROOT/containers/$container/rootfs
	(cd "$rootfs" && exec sleep 1000 3>&-) &
	stray=$!
	crictl stop -t 0 "$container" >/dev/null
	crictl rm "$container" >/dev/null
	is "$(crictl ps -aq)" ""
	[ ! -e "$rootfs" ]
	kill -KILL "$stray"
	# a process that is none of the pod's, in the pod's cgroup
	sleep 1000 3>&- &
	stray=$!
	for cgroup in /sys/fs/cgroup/{memory,pids,.}/crisp.pods/pod"$pod"; do
		if [ -d "$cgroup" ]; then
			mkdir "$cgroup/stray"
			echo "$stray" >"$cgroup/stray/cgroup.procs"
		fi
	done
	crictl stopp "$pod" >/dev/null
	run crictl rmp "$pod"
	if [ "$status" -ne 0 ]; then
		like "$output" "processes are still in it"
		kill -KILL "$stray"
		crictl rmp "$pod" >/dev/null
	fi
	is "$(crictl pods -q)" ""
	kill -KILL "$stray" 2>/dev/null || true
	is "$(find /sys/fs/cgroup -name "pod$pod")" ""
}

@test "nothing is left behind" { census_is_clean; }
