# Pods: their states and identity, what a container finds in them (network, names, /dev/shm, processes, sysctls), and that
# their end is complete, repeatable, and possible also when their own process has died.

load ../lib/helper

setup_file() { suite_start; }
teardown_file() { suite_end; }
teardown() { after_test; }

pod_state() {
	pod_field "$1" .state
}

# What crictl calls the verbose part: the process that holds the pod's namespaces.
pod_pid() {
	crictl inspectp "$1" | jq -r .info.pid
}

# netns_of PID: as the kernel names it in mountinfo, net:[inode].
netns_of() {
	readlink "/proc/$1/ns/net"
}

# run_nginx POD PODNAME: prints the id.
run_nginx() {
	run_container "$1" "$2" web ".image.image = \"$NGINX\" | del(.command) ${3:-}"
}

# answers URL: nginx's page comes back, now or within 5 s.
answers() {
	says_hello() { [ "$(curl -sS --max-time 2 "$1" 2>&1)" = "hello from nginx" ]; }
	within 5 says_hello "$1" || is "$(curl -sS --max-time 2 "$1" 2>&1)" "hello from nginx" "$1"
}

silent() {
	run curl -sS --max-time 1 "$1"
	[ "$status" -ne 0 ] || { printf '%s still answers: %s\n' "$1" "$output"; return 1; }
}

@test "runp prints an id; the status carries what was asked for" {
	local before pod file
	before=$(date +%s%N)
	file=$(pod_file one)
	pod=$(crictl runp "$file")
	like "$pod" "^[0-9a-f]{64}$"
	is "$(pod_field "$pod" .id)" "$pod"
	is "$(pod_state "$pod")" SANDBOX_READY
	is "$(pod_field "$pod" '.metadata | "\(.name) \(.namespace) \(.attempt)"')" "one it 0"
	is "$(pod_field "$pod" .metadata.uid)" "$(jq -r .metadata.uid "$file")"
	is "$(pod_field "$pod" '.labels | tojson')" '{"app":"one"}'
	is "$(pod_field "$pod" '.annotations | tojson')" '{"note":"of one"}'
	is "$(pod_field "$pod" '.linux.namespaces.options | "\(.network) \(.pid) \(.ipc)"')" "POD POD POD"
	[ "$(pod_field "$pod" .createdAt)" -ge "$before" ]
	[ "$(pod_field "$pod" .createdAt)" -le "$(date +%s%N)" ]
}

@test "the runtime handler of a pod is kept" {
	local pod
	pod=$(crictl runp --runtime "$HANDLER" "$(pod_file handled)")
	is "$(pod_field "$pod" .runtimeHandler)" "$HANDLER"
	is "$(crictl pods -o json | jq -r '.items[0].runtimeHandler')" "$HANDLER"
}

@test "pods lists by id, name, namespace, label and state" {
	local first second
	first=$(run_pod first)
	second=$(run_pod second '.metadata.namespace = "other"')
	crictl stopp "$second" >/dev/null
	is "$(crictl pods -q | sort)" "$(printf '%s\n' "$first" "$second" | sort)"
	is "$(crictl pods -q --id "$first")" "$first"
	is "$(crictl pods -q --id "${first:0:12}")" "$first" "by the start of an id"
	is "$(crictl pods -q --name second)" "$second"
	is "$(crictl pods -q --namespace other)" "$second"
	is "$(crictl pods -q --label app=first)" "$first"
	is "$(crictl pods -q --label app=third)" ""
	is "$(crictl pods -q --state ready)" "$first"
	is "$(crictl pods -q --state notready)" "$second"
	like "$(crictl pods --no-trunc)" "$first +.* Ready +first +it +0 +"
}

@test "inspectp: status and verbose information" {
	local pod
	pod=$(run_pod looked-at)
	run crictl inspectp "$pod"
	is "$status" 0
	is "$(jq -r .status.state <<<"$output")" SANDBOX_READY
	[ "$(jq -r .info.pid <<<"$output")" -gt 1 ]
	kill -0 "$(jq -r .info.pid <<<"$output")"
}

@test "a pod has an address of its own, and nginx in it answers there through the bridge" {
	local pod ip
	pod=$(run_pod served)
	ip=$(pod_field "$pod" .network.ip)
	like "$ip" '^10\.88\.[0-9]+\.[0-9]+$'
	is "$(nsenter -t "$(pod_pid "$pod")" -n ip -o -4 addr show eth0 | awk '{ print $4 }')" "$ip/16"
	like "$(nsenter -t "$(pod_pid "$pod")" -n ip -o link show lo)" ",UP" "lo"
	run_nginx "$pod" served
	answers "http://$ip/"
}

@test "a pod reaches another pod by its address" {
	local server client container
	server=$(run_pod server)
	run_nginx "$server" server
	client=$(run_pod client)
	container=$(run_container "$client" client client)
	answers "http://$(pod_field "$server" .network.ip)/"
	run in_container "$container" sh -c "printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 5 $(pod_field "$server" .network.ip) 80"
	like "$output" "hello from nginx"
}

@test "a host port leads to the pod, on every address of the host, until the pod is stopped" {
	local pod
	pod=$(run_pod mapped '.port_mappings = [{container_port: 80, host_port: 18081}]')
	run_nginx "$pod" mapped
	answers http://10.88.0.1:18081/
	answers http://127.0.0.1:18081/
	crictl stopp "$pod" >/dev/null
	silent http://10.88.0.1:18081/
	unlike "$(iptables -t nat -S)" "$pod"
}

@test "hostname, hosts and resolv.conf are the pod's" {
	local pod container
	pod=$(run_pod named '.hostname = "some-host" |
		.dns_config = {servers: ["10.1.1.1", "10.1.1.2"], searches: ["a.example", "b.example"], options: ["ndots:5", "edns0"]}')
	container=$(run_container "$pod" named inside)
	is "$(in_container "$container" hostname)" some-host
	is "$(in_container "$container" cat /etc/hostname)" some-host
	is "$(in_container "$container" cat /proc/sys/kernel/hostname)" some-host
	is "$(in_container "$container" sort /etc/resolv.conf)" \
		"$(printf '%s\n' 'nameserver 10.1.1.1' 'nameserver 10.1.1.2' 'options ndots:5 edns0' 'search a.example b.example')"
	like "$(in_container "$container" cat /etc/hosts)" $'127\\.0\\.0\\.1[ \t]+localhost'
	[ "$CRISP_SERVER" != crispd ] ||
		like "$(in_container "$container" cat /etc/hosts)" "$(pod_field "$pod" .network.ip)"$'[ \t]+some-host'
}

@test "without a DNS configuration a pod has the host's resolv.conf" {
	local pod container
	pod=$(run_pod plain)
	container=$(run_container "$pod" plain inside)
	is "$(in_container "$container" cat /etc/resolv.conf)" "$(cat /etc/resolv.conf)"
}

@test "/dev/shm has 64 MiB and is shared by the pod's containers only" {
	local pod other one two three
	pod=$(run_pod sharing)
	one=$(run_container "$pod" sharing one)
	two=$(run_container "$pod" sharing two)
	other=$(run_pod apart)
	three=$(run_container "$other" apart three)
	is "$(in_container "$one" sh -c "df -k /dev/shm | awk 'END { print \$2 }'")" 65536
	in_container "$one" sh -c 'echo shared >/dev/shm/note'
	is "$(in_container "$two" cat /dev/shm/note)" shared
	run in_container "$three" cat /dev/shm/note
	[ "$status" -ne 0 ]
	is "$(in_container "$one" readlink /proc/self/ns/ipc)" "$(in_container "$two" readlink /proc/self/ns/ipc)"
	unlike "$(in_container "$one" readlink /proc/self/ns/ipc)" "$(in_container "$three" readlink /proc/self/ns/ipc | tr -d '[]')"
}

@test "a host-network pod lives in the host's network, with no address or interface of its own" {
	local pod container
	pod=$(run_pod hosted '.linux.security_context.namespace_options.network = 2 | del(.hostname)')
	is "$(pod_field "$pod" .linux.namespaces.options.network)" NODE
	is "$(pod_field "$pod" .network.ip)" ""
	container=$(run_container "$pod" hosted inside '.linux.security_context.namespace_options.network = 2')
	is "$(in_container "$container" readlink /proc/self/ns/net)" "$(readlink /proc/self/ns/net)"
	is "$(in_container "$container" hostname)" "$(hostname)"
	is "$(ip -o link show type veth | wc -l)" 0
	crictl stopp "$pod" >/dev/null
	is "$(pod_state "$pod")" SANDBOX_NOTREADY
}

@test "host IPC and host PID" {
	local pod container options='.linux.security_context.namespace_options = {pid: 2, ipc: 2}'
	pod=$(run_pod open "$options")
	container=$(run_container "$pod" open inside "$options")
	is "$(in_container "$container" readlink /proc/self/ns/ipc)" "$(readlink /proc/self/ns/ipc)"
	is "$(in_container "$container" readlink /proc/self/ns/pid)" "$(readlink /proc/self/ns/pid)"
}

@test "CVE-2019-5736: from a container with the host's pids, pods' pauses show nothing of the host, nor their program" {
	only_crisp
	local pod container pid options='.linux.security_context.namespace_options.pid = 2'
	pod=$(run_pod open "$options")
	run_pod other >/dev/null
	run_pod shared '.linux.security_context.namespace_options.pid = 0' >/dev/null
	container=$(run_container "$pod" open inside "$options")
	[ "$(pgrep -c crisp-pause)" -ge 3 ]
	for pid in $(pgrep crisp-pause); do
		run in_container "$container" ls "/proc/$pid/root/"
		[ "$status" -ne 0 ]
		run in_container "$container" sh -c "ls /proc/$pid/cwd/ || cat /proc/$pid/exe"
		[ "$status" -ne 0 ]
	done
}

@test "PID mode POD: the containers of a pod see each other; CONTAINER: each its own" {
	local pod one two three
	pod=$(run_pod pids)
	one=$(run_container "$pod" pids one '.command = ["sleep", "1111"]')
	two=$(run_container "$pod" pids two)
	three=$(run_container "$pod" pids three '.command = ["sleep", "3333"] | .linux.security_context.namespace_options.pid = 1')
	like "$(in_container "$two" ps)" "sleep 1111"
	unlike "$(in_container "$one" cat /proc/1/comm)" "sleep" "process 1"
	is "$(in_container "$one" readlink /proc/self/ns/pid)" "$(in_container "$two" readlink /proc/self/ns/pid)"
	unlike "$(in_container "$two" ps)" "sleep 3333"
	is "$(in_container "$three" cat /proc/1/comm)" sleep
	unlike "$(in_container "$three" ps)" "sleep 1111"
	crictl stop -t 0 "$one" "$three" >/dev/null
}

@test "orphans in a shared PID namespace are reaped" {
	only_crisp
	local pod container
	pod=$(run_pod orphans)
	container=$(run_container "$pod" orphans inside)
	in_container "$container" sh -c '(sleep 0.1 &) ; (sleep 0.1 &)'
	no_zombies() { [ "$(in_container "$container" sh -c 'grep -h ^State /proc/[0-9]*/status 2>/dev/null | grep -c zombie; true')" = 0 ]; }
	within 3 no_zombies
}

@test "sysctls are the pod's" {
	local pod other one two
	pod=$(run_pod tuned '.linux.sysctls = {"kernel.shm_rmid_forced": "1", "net.ipv4.ip_local_port_range": "1024 65000"}')
	one=$(run_container "$pod" tuned one)
	other=$(run_pod untuned)
	two=$(run_container "$other" untuned two)
	is "$(in_container "$one" cat /proc/sys/kernel/shm_rmid_forced)" 1
	is "$(in_container "$one" cat /proc/sys/net/ipv4/ip_local_port_range | tr -s '\t' ' ')" "1024 65000"
	is "$(in_container "$two" cat /proc/sys/kernel/shm_rmid_forced)" 0
}

@test "CVE-2022-0532: sysctls of a namespace that is the host's leave the host as it is" {
	local range host_ipc
	range=$(cat /proc/sys/net/ipv4/ip_local_port_range)
	host_ipc=$(cat /proc/sys/kernel/shm_rmid_forced)
	local netless shared
	netless=$(run_pod netless '.linux.sysctls = {"net.ipv4.ip_local_port_range": "1024 1099"} | .linux.security_context.namespace_options.network = 2 | del(.hostname)')
	shared=$(run_pod shared ".linux.sysctls = {\"kernel.shm_rmid_forced\": \"$((1 - host_ipc))\"} | .linux.security_context.namespace_options.ipc = 2")
	is "$(cat /proc/sys/net/ipv4/ip_local_port_range)" "$range"
	is "$(cat /proc/sys/kernel/shm_rmid_forced)" "$host_ipc"
	[ "$CRISP_SERVER" = crispd ] || return 0
	grep -q "$netless: sysctl net.ipv4.ip_local_port_range is skipped" "$SERVER_LOG"
	grep -q "$shared: sysctl kernel.shm_rmid_forced is skipped" "$SERVER_LOG"
}

# What a pod's own cgroup is limited to.
pod_limits() {
	local path
	path=$(crictl inspectp "$1" | jq -r .info.cgroupPath)
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		limits_in "/sys/fs/cgroup$path" "/sys/fs/cgroup$path"
	else
		limits_in "/sys/fs/cgroup/memory$path" "/sys/fs/cgroup/cpu$path"
	fi
}

update_pod() { # POD JSON: prints the code
	rpc_code UpdatePodSandboxResources "{\"pod_sandbox_id\": \"$1\", $2}"
}

LIMITED='.linux.resources = {memory_limit_in_bytes: 134217728, cpu_shares: 512, cpu_quota: 50000, cpu_period: 100000}
	| .linux.overhead = {memory_limit_in_bytes: 33554432, cpu_shares: 128, cpu_quota: 10000, cpu_period: 100000}'

@test "a cgroup of the pod's own is limited by overhead and resources, and UpdatePodSandboxResources changes that" {
	only_crisp
	with_controller memory || skip "no memory controller in this view"
	local pod container
	pod=$(run_pod limited "del(.linux.cgroup_parent) | $LIMITED")
	like "$(pod_limits "$pod")" "$(limited 167772160 640 60000)"
	container=$(run_container "$pod" limited eater '.command = ["sh", "-c", "sleep 1000"]')
	is "$(update_pod "$pod" '"resources": {"memory_limit_in_bytes": 268435456, "cpu_shares": 1024}')" OK
	like "$(pod_limits "$pod")" "$(limited 301989888 1152 60000)" "overhead stays"
	# refused: nothing changes
	is "$(update_pod "$pod" '"resources": {"memory_limit_in_bytes": 1, "cpu_shares": 2}, "overhead": {}')" FailedPrecondition
	is "$(update_pod "$pod" '"resources": {"cpu_shares": -5}')" InvalidArgument
	like "$(pod_limits "$pod")" "$(limited 301989888 1152 60000)"
	stop_server KILL
	start_server
	is "$(crictl inspectp "$pod" | jq -r '.info.config.linux | "\(.resources.memoryLimitInBytes) \(.overhead.memoryLimitInBytes)"')" \
		"268435456 33554432" "after a restart"
	is "$(update_pod "$pod" '"overhead": {}')" OK
	like "$(pod_limits "$pod")" "^268435456 "
	crictl stopp "$pod" >/dev/null
	is "$(update_pod "$pod" '"overhead": {}')" FailedPrecondition
	is "$(update_pod 0123456789abcdef '"overhead": {}')" NotFound
}

# The kubelet's cgroup of a pod: made by it, with the controllers it needs. Sets PARENT, and FOLDER where its memory limit is.
make_kubelets() { # UID
	case $CRISP_VIEW in
	v1)
		PARENT=/kubepods/pod$1 FOLDER=/sys/fs/cgroup/memory/kubepods/pod$1
		mkdir -p "$FOLDER"
		;;
	v2)
		PARENT=/kubepods/pod$1 FOLDER=/sys/fs/cgroup/kubepods/pod$1
		mkdir /sys/fs/cgroup/kubepods
		echo "+memory +cpu" | tee /sys/fs/cgroup/cgroup.subtree_control >/sys/fs/cgroup/kubepods/cgroup.subtree_control
		mkdir "$FOLDER"
		;;
	esac
}

@test "in the kubelet's cgroup of a pod, limits that are in force move, and none is added; a shared parent is left alone" {
	only_crisp
	[ "$CRISP_VIEW" != systemd ] || skip "36-systemd.bats has the kubelet's slices"
	with_controller memory || skip "no memory controller in this view"
	local pod uid=6f0c-11 unlimited file=memory.limit_in_bytes
	make_kubelets "$uid"
	[ -e "$FOLDER/$file" ] || file=memory.max
	unlimited=$(cat "$FOLDER/$file")
	pod=$(run_pod kubelet ".metadata.uid = \"$uid\" | .linux.cgroup_parent = \"$PARENT\" | $LIMITED")
	is "$(cat "$FOLDER/$file")" "$unlimited"
	is "$(update_pod "$pod" '"resources": {"memory_limit_in_bytes": 268435456, "cpu_shares": 1024}')" OK
	like "$(pod_limits "$pod")" "$(limited "$unlimited" 1152 ".*")"
	echo 536870912 >"$FOLDER/$file"
	is "$(update_pod "$pod" '"resources": {"memory_limit_in_bytes": 402653184}')" OK
	like "$(pod_limits "$pod")" "^436207616 "
	remove_pods
	find /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods -depth -type d -exec rmdir {} + 2>/dev/null || true
	pod=$(run_pod shared "$LIMITED")
	is "$(update_pod "$pod" '"resources": {"memory_limit_in_bytes": 268435456}')" OK
	like "$(pod_limits "$pod")" "^$unlimited "
}

@test "the same identity again gives the same pod; another attempt is another pod" {
	only_crisp
	local file pod
	file=$(pod_file twin)
	pod=$(crictl runp "$file")
	is "$(crictl runp "$file")" "$pod"
	is "$(crictl pods -q)" "$pod"
	jq '.metadata.attempt = 1' "$file" >"$file.next"
	unlike "$(crictl runp "$file.next")" "$pod"
	is "$(crictl pods -q | wc -l)" 2
}

@test "ten equal requests at a time make one pod" {
	only_crisp
	local file i
	file=$(pod_file crowd)
	for i in 1 2 3 4 5 6 7 8 9 10; do crictl runp "$file" >"$BATS_TEST_TMPDIR/id.$i" & done
	wait
	is "$(cat "$BATS_TEST_TMPDIR"/id.* | sort | uniq -c | tr -s ' ')" " 10 $(crictl pods -q)"
}

@test "stopp: not ready, its containers ended, its address free; a second time it is no error" {
	local pod container ip
	pod=$(run_pod ending)
	ip=$(pod_field "$pod" .network.ip)
	container=$(run_container "$pod" ending inside)
	[ -e "/var/lib/cni/networks/crisp-it/$ip" ]
	crictl stopp "$pod" >/dev/null
	is "$(pod_state "$pod")" SANDBOX_NOTREADY
	is "$(container_field "$container" .state)" CONTAINER_EXITED
	[ ! -e "/var/lib/cni/networks/crisp-it/$ip" ]
	is "$(ip -o link show type veth | wc -l)" 0
	is "$(rpc_code StopPodSandbox "{\"pod_sandbox_id\": \"$pod\"}")" OK
	is "$(pod_state "$pod")" SANDBOX_NOTREADY
}

@test "rmp: gone with its containers and its network namespace; a second time it is no error" {
	local pod container ns pid
	pod=$(run_pod leaving)
	container=$(run_container "$pod" leaving inside)
	pid=$(pod_pid "$pod")
	ns=$(netns_of "$pid")
	grep -qF "$ns" /proc/self/mountinfo
	crictl stopp "$pod" >/dev/null
	crictl rmp "$pod" >/dev/null
	run grep -F "$ns" /proc/self/mountinfo
	is "$output" "" "mounts of the namespace"
	run kill -0 "$pid"
	[ "$status" -ne 0 ]
	is "$(crictl pods -q)$(crictl ps -aq)" ""
	is "$(rpc_code PodSandboxStatus "{\"pod_sandbox_id\": \"$pod\"}")" NotFound
	is "$(rpc_code ContainerStatus "{\"container_id\": \"$container\"}")" NotFound
	is "$(rpc_code RemovePodSandbox "{\"pod_sandbox_id\": \"$pod\"}")" OK
	is "$(rpc_code StopPodSandbox "{\"pod_sandbox_id\": \"$pod\"}")" OK
}

@test "rmp -f takes a pod that is still running" {
	local pod
	pod=$(run_pod forced)
	run_container "$pod" forced inside
	crictl rmp -f "$pod" >/dev/null
	is "$(crictl pods -q)$(crictl ps -aq)" ""
}

@test "a pod whose own process is killed is not ready within 1 s, and can be stopped and removed" {
	local pod container ip
	pod=$(run_pod headless '.linux.security_context.namespace_options.pid = 1')
	ip=$(pod_field "$pod" .network.ip)
	container=$(run_container "$pod" headless inside '.linux.security_context.namespace_options.pid = 1')
	kill -KILL "$(pod_pid "$pod")"
	sleep "$CRISP_SLOW"
	is "$(pod_state "$pod")" SANDBOX_NOTREADY
	is "$(crictl pods -q --state notready)" "$pod"
	crictl stopp "$pod" >/dev/null
	is "$(container_field "$container" .state)" CONTAINER_EXITED
	[ ! -e "/var/lib/cni/networks/crisp-it/$ip" ]
	crictl rmp "$pod" >/dev/null
	is "$(crictl pods -q)" ""
}

@test "killing process 1 of a shared PID namespace ends its containers too" {
	local pod container
	pod=$(run_pod beheaded)
	container=$(run_container "$pod" beheaded inside)
	kill -KILL "$(pod_pid "$pod")"
	within 3 has_exited "$container"
	is "$(container_field "$container" .exitCode)" 137
	is "$(pod_state "$pod")" SANDBOX_NOTREADY
}

@test "nothing is left behind" { census_is_clean; }
