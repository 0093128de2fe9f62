# Stats: what crispd says of pods and containers beside what the kernel says, filters, streams, and that nothing is kept
# of what has ended.

load ../lib/helper

setup_file() { suite_start; }
teardown_file() { suite_end; }
setup() { only_crisp; }
teardown() { after_test; }

# ask METHOD JSON FILTER: the answer's field; the code must be OK.
ask() {
	is "$(rpc_code "$1" "$2")" OK "$1" >&2 || return 1
	sed -n 3p "$BATS_TEST_TMPDIR/rpc" | jq -r "$3"
}

container_info() {
	crirpc -e "$SERVER_SOCKET" ContainerStatus "{\"container_id\": \"$1\", \"verbose\": true}" | sed -n 3p |
		jq -r '.info.info | fromjson | '"$2"
}

pod_info() {
	crirpc -e "$SERVER_SOCKET" PodSandboxStatus "{\"pod_sandbox_id\": \"$1\", \"verbose\": true}" | sed -n 3p |
		jq -r '.info.info | fromjson | '"$2"
}

unified() { [ -e /sys/fs/cgroup/cgroup.controllers ]; }

# cgroup_file CONTROLLER PATH FILE: where it is on this host.
cgroup_file() {
	if unified; then printf '/sys/fs/cgroup%s/%s\n' "$2" "$3"; else printf '/sys/fs/cgroup/%s%s/%s\n' "$1" "$2" "$3"; fi
}

# cpu_ns PATH: CPU time of a cgroup.
cpu_ns() {
	if unified; then
		awk '$1 == "usage_usec" { print $2 * 1000 }' "/sys/fs/cgroup$1/cpu.stat"
	else
		cat "$(cgroup_file cpuacct "$1" cpuacct.usage)"
	fi
}

between() { # LOW VALUE HIGH WHAT
	[ "$1" -le "$2" ] && [ "$2" -le "$3" ] && return
	printf '%s: %s is not in %s..%s\n' "$4" "$2" "$1" "$3"
	return 1
}

descriptors() {
	find "/proc/$(server_pid)/fd" -mindepth 1 | wc -l
}

quiet='.command = ["sleep", "1000"]'

@test "a container's CPU, memory and faults are the cgroup's" {
	local pod id path low value high stat
	pod=$(run_pod here)
	id=$(run_container "$pod" here quiet "$quiet")
	path=$(container_info "$id" .cgroupPath)
	low=$(cpu_ns "$path")
	value=$(ask ContainerStats "{\"container_id\": \"$id\"}" .stats.cpu.usageCoreNanoSeconds.value)
	high=$(cpu_ns "$path")
	between "$low" "$value" "$high" "CPU time"
	is "$(ask ContainerStats "{\"container_id\": \"$id\"}" '.stats.attributes.metadata.name')" quiet
	is "$(ask ContainerStats "{\"container_id\": \"$id\"}" '.stats.attributes.labels.part')" quiet
	if unified && [ ! -e "/sys/fs/cgroup$path/memory.current" ]; then
		is "$(ask ContainerStats "{\"container_id\": \"$id\"}" .stats.memory)" null
		return
	fi
	stat=$(cgroup_file memory "$path" memory.stat)
	memory_agrees() {
		local after said
		said=$(ask ContainerStats "{\"container_id\": \"$id\"}" \
			'.stats.memory | "\(.usageBytes.value) \(.workingSetBytes.value) \(.rssBytes.value) \(.pageFaults.value) \(.majorPageFaults.value)"')
		after=$(memory_lines "$stat" "$path")
		[ "$said" = "$after" ]
	}
	within 20 memory_agrees
}

# usage, working set, rss, faults, major faults as the kernel has them.
memory_lines() {
	local usage
	if unified; then usage=$(cat "/sys/fs/cgroup$2/memory.current"); else usage=$(cat "$(cgroup_file memory "$2" memory.usage_in_bytes)"); fi
	awk -v usage="$usage" -v v2="$(unified && echo 1)" '
		{ at[$1] = $2 }
		END {
			if (v2) print usage, usage - at["inactive_file"], at["anon"], at["pgfault"], at["pgmajfault"]
			else print usage, usage - at["total_inactive_file"], at["total_rss"], at["total_pgfault"], at["total_pgmajfault"]
		}' "$1"
}

@test "a memory limit gives what is available; PSI is told on v2" {
	local pod id path limit=.
	pod=$(run_pod here)
	! with_controller memory || limit='.linux.resources = {memory_limit_in_bytes: 67108864}'
	id=$(run_container "$pod" here quiet "$quiet | $limit")
	path=$(container_info "$id" .cgroupPath)
	if with_controller memory; then
		is "$(ask ContainerStats "{\"container_id\": \"$id\"}" \
			'.stats.memory | (.availableBytes.value | tonumber) + (.workingSetBytes.value | tonumber)')" 67108864
	fi
	if unified && [ -e "/sys/fs/cgroup$path/cpu.pressure" ]; then
		is "$(ask ContainerStats "{\"container_id\": \"$id\"}" '.stats.cpu.psi.Some.Avg10 | type')" number
		is "$(ask ContainerStats "{\"container_id\": \"$id\"}" '.stats.io.psi.Full.Total | tonumber >= 0')" true
	else
		is "$(ask ContainerStats "{\"container_id\": \"$id\"}" .stats.cpu.psi)" null
	fi
}

@test "a busy container's nano cores come with the second poll" {
	local pod id
	pod=$(run_pod here)
	id=$(run_container "$pod" here busy '.command = ["sh", "-c", "while :; do :; done"]')
	is "$(ask ContainerStats "{\"container_id\": \"$id\"}" .stats.cpu.usageNanoCores)" null
	runs_hot() {
		local cores
		cores=$(ask ContainerStats "{\"container_id\": \"$id\"}" '.stats.cpu.usageNanoCores.value // 0')
		[ "$cores" -gt 20000000 ] && [ "$cores" -lt 3000000000 ]
	}
	within 20 runs_hot
}

@test "a pod's processes, containers and interfaces" {
	local pod id ns high said path
	pod=$(run_pod here)
	id=$(run_container "$pod" here quiet "$quiet")
	create_container "$pod" here idle >/dev/null
	is "$(ask PodSandboxStats "{\"pod_sandbox_id\": \"$pod\"}" '[.stats.linux.containers[].attributes.id] | join(" ")')" "$id"
	is "$(ask PodSandboxStats "{\"pod_sandbox_id\": \"$pod\"}" '.stats.attributes | "\(.id) \(.metadata.name) \(.labels.app) \(.annotations.note)"')" \
		"$pod here here of here"
	path=$(pod_info "$pod" .cgroupPath)
	if [ -e "$(cgroup_file pids "$path" pids.current)" ]; then
		is "$(ask PodSandboxStats "{\"pod_sandbox_id\": \"$pod\"}" .stats.linux.process.processCount.value)" \
			"$(cat "$(cgroup_file pids "$path" pids.current)")"
	else
		between 2 "$(ask PodSandboxStats "{\"pod_sandbox_id\": \"$pod\"}" .stats.linux.process.processCount.value)" 5 processes
	fi
	ns=$(pod_info "$pod" .namespaces)/net
	nsenter --net="$ns" ip link add more type veth peer name other
	nsenter --net="$ns" ip link set more up
	nsenter --net="$ns" ip link set other up
	counters() {
		nsenter --net="$ns" ip -j -s link show "$1" |
			jq -r '.[0].stats64 | "\(.rx.bytes) \(.rx.errors) \(.tx.bytes) \(.tx.errors)"'
	}
	nsenter --net="$ns" ping -c 1 -w 2 "$(nsenter --net="$ns" ip -j route show default | jq -r '.[0].gateway')" >/dev/null || true
	interface_agrees() { # INTERFACE FILTER
		said=$(ask PodSandboxStats "{\"pod_sandbox_id\": \"$pod\"}" \
			".stats.linux.network | $2"' | "\(.rxBytes.value) \(.rxErrors.value) \(.txBytes.value) \(.txErrors.value)"')
		high=$(counters "$1")
		[ "$said" = "$high" ]
	}
	within 20 interface_agrees eth0 .defaultInterface
	like "$said" '^[0-9]+ 0 [1-9][0-9]* 0$'
	within 20 interface_agrees more '(.interfaces[] | select(.name == "more"))'
	is "$(ask PodSandboxStats "{\"pod_sandbox_id\": \"$pod\"}" '.stats.linux.network.defaultInterface.name')" eth0
	is "$(ask PodSandboxStats "{\"pod_sandbox_id\": \"$pod\"}" '[.stats.linux.network.interfaces[].name] | sort | join(" ")')" "more other"
}

@test "a pod on the host's network has no network of its own to tell of" {
	local pod
	pod=$(run_pod here '.linux.security_context.namespace_options.network = 2')
	is "$(ask PodSandboxStats "{\"pod_sandbox_id\": \"$pod\"}" .stats.linux.network)" null
	like "$(ask PodSandboxStats "{\"pod_sandbox_id\": \"$pod\"}" .stats.linux.cpu.usageCoreNanoSeconds.value)" '^[0-9]+$'
}

@test "the writable layer: what du says of it, with its own time" {
	local pod id upper
	pod=$(run_pod here)
	id=$(run_container "$pod" here quiet "$quiet")
	like "$(ask ContainerStats "{\"container_id\": \"$id\"}" .stats.writableLayer.usedBytes.value)" '^[0-9]+$'
	is "$(ask ContainerStats "{\"container_id\": \"$id\"}" .stats.writableLayer.fsId.mountpoint)" /var/lib/crisp
	in_container "$id" sh -c 'dd if=/dev/zero of=/big bs=1024 count=3000 2>/dev/null; mkdir -p /a/b; : >/a/b/c; ln /a/b/c /a/d'
	upper=/var/lib/crisp/containers/$id/upper
	layer_agrees() {
		[ "$(ask ContainerStats "{\"container_id\": \"$id\"}" '.stats.writableLayer | "\(.usedBytes.value) \(.inodesUsed.value)"')" = \
			"$(($(du -s -B 512 "$upper" | cut -f 1) * 512)) $(du -s --inodes "$upper" | cut -f 1)" ]
	}
	within 40 layer_agrees
	# An exited container still has its layer, and nothing else.
	crictl stop -t 0 "$id" >/dev/null
	within 10 has_exited "$id"
	is "$(ask ContainerStats "{\"container_id\": \"$id\"}" '.stats | "\(.cpu) \(.memory) \(.attributes.id)"')" "null null $id"
	layer_agrees
}

@test "filters, lists of what runs only, unknown and bad ids" {
	local one two id1 id2
	one=$(run_pod one)
	two=$(run_pod two)
	id1=$(run_container "$one" one quiet "$quiet")
	id2=$(run_container "$two" two other "$quiet")
	create_container "$two" two idle >/dev/null
	ids() { ask ListContainerStats "$1" '[.stats[].attributes.id] | sort | join(" ")'; }
	pods() { ask ListPodSandboxStats "$1" '[.stats[].attributes.id] | sort | join(" ")'; }
	is "$(ids '{}')" "$(printf '%s\n' "$id1" "$id2" | sort | xargs)"
	is "$(ids "{\"filter\": {\"id\": \"$id2\"}}")" "$id2"
	is "$(ids "{\"filter\": {\"pod_sandbox_id\": \"$one\"}}")" "$id1"
	is "$(ids '{"filter": {"label_selector": {"part": "other"}}}')" "$id2"
	is "$(ids "{\"filter\": {\"id\": \"$id1\", \"pod_sandbox_id\": \"$two\"}}")" ""
	is "$(pods '{}')" "$(printf '%s\n' "$one" "$two" | sort | xargs)"
	is "$(pods "{\"filter\": {\"id\": \"$two\"}}")" "$two"
	is "$(pods '{"filter": {"label_selector": {"app": "one"}}}')" "$one"
	refused NotFound ContainerStats '{"container_id": "0123456789ab"}'
	refused NotFound PodSandboxStats '{"pod_sandbox_id": "0123456789ab"}'
	refused InvalidArgument ContainerStats '{}'
	refused InvalidArgument PodSandboxStats '{}'
	crictl stopp "$one" >/dev/null
	is "$(pods '{}')" "$two"
	is "$(ids '{}')" "$id2"
	is "$(ask PodSandboxStats "{\"pod_sandbox_id\": \"$one\"}" '.stats | "\(.attributes.id) \(.linux.cpu)"')" "$one null"
}

# streamed METHOD FIELD: the ids of all messages, sorted; a slow reader gets the same.
streamed() {
	crirpc -e "$SERVER_SOCKET" "${@:3}" "$1" '{}' | tail -n +3 | grep '^{' | jq -r "$2"' | .[] | .attributes.id // .id' | sort | xargs
}

@test "streams say what the lists say" {
	local pod pods=() containers=() i
	for i in 1 2 3; do
		pod=$(run_pod "p$i")
		pods+=("$pod")
		containers+=("$(run_container "$pod" "p$i" quiet "$quiet")")
	done
	pods=("$(printf '%s\n' "${pods[@]}" | sort | xargs)")
	containers=("$(printf '%s\n' "${containers[@]}" | sort | xargs)")
	is "$(streamed StreamPodSandboxes .podSandboxes)" "${pods[0]}"
	is "$(streamed StreamContainers .containers)" "${containers[0]}"
	is "$(streamed StreamPodSandboxStats .podSandboxStats -pace 100ms)" "${pods[0]}"
	is "$(streamed StreamContainerStats .containerStats -pace 100ms)" "${containers[0]}"
	like "$(streamed StreamImages .images)" 'sha256:'
	is "$(rpc_code StreamPodSandboxStats "{\"filter\": {\"id\": \"ffffffffffff\"}}")" OK
	is "$(wc -l <"$BATS_TEST_TMPDIR/rpc")" 3 # code, text, connection
}

@test "crictl stats and statsp" {
	local pod id
	pod=$(run_pod here)
	id=$(run_container "$pod" here quiet "$quiet")
	crictl stats >"$BATS_TEST_TMPDIR/out"
	like "$(cat "$BATS_TEST_TMPDIR/out")" "${id:0:12}|${id:0:13}"
	crictl statsp >"$BATS_TEST_TMPDIR/out"
	like "$(cat "$BATS_TEST_TMPDIR/out")" "${pod:0:12}|${pod:0:13}"
	is "$(crictl stats -o json "$id" | jq -r '.stats[0].attributes.id')" "$id"
}

@test "metrics have the names that were described, cAdvisor's labels, and the cgroup's values" {
	local pod id path described
	pod=$(run_pod here)
	id=$(run_container "$pod" here quiet "$quiet")
	path=$(container_info "$id" .cgroupPath)
	described=$(ask ListMetricDescriptors '{}' '.descriptors[] | "\(.name) \(.labelKeys | length)"' | sort -u)
	ask ListPodSandboxMetrics '{}' '.podMetrics[] | .metrics[], .containerMetrics[].metrics[] | "\(.name) \(.labelValues | length)"' |
		sort -u >"$BATS_TEST_TMPDIR/told"
	is "$(comm -23 "$BATS_TEST_TMPDIR/told" <(printf '%s\n' "$described"))" "" "told but not described"
	for name in container_last_seen container_cpu_usage_seconds_total container_network_receive_bytes_total \
		container_fs_usage_bytes container_processes container_start_time_seconds; do
		like "$(cat "$BATS_TEST_TMPDIR/told")" "$name "
	done
	is "$(ask ListPodSandboxMetrics '{}' '.podMetrics[0].containerMetrics[0].metrics[] | select(.name == "container_cpu_usage_seconds_total") | .labelValues | join(" ")')" \
		"$path $id $BUSYBOX it here quiet total"
	is "$(ask ListPodSandboxMetrics '{}' '[.podMetrics[0].metrics[] | select(.name == "container_network_transmit_bytes_total") | .labelValues[5:] | join(" ")] | join(",")')" "POD eth0"
	is "$(ask ListPodSandboxMetrics '{}' '.podMetrics[0].containerMetrics[0].metrics[] | select(.name == "container_processes") | .value.value')" 1
	if with_controller memory; then
		metric_agrees() {
			[ "$(ask ListPodSandboxMetrics '{}' '.podMetrics[0].containerMetrics[0].metrics[] | select(.name == "container_memory_usage_bytes") | .value.value')" = \
				"$(cat "$(cgroup_file memory "$path" "$(unified && echo memory.current || echo memory.usage_in_bytes)")")" ]
		}
		within 20 metric_agrees
	fi
	is "$(crirpc -e "$SERVER_SOCKET" StreamPodSandboxMetrics '{}' | sed -n 3p | jq -r '.podSandboxMetrics[].podSandboxId')" "$pod"
	like "$(crictl metricsp)" container_cpu_usage_seconds_total
}

# metric_of NAME FIELD: the value with the last labels of the only container's.
metric_of() {
	ask ListPodSandboxMetrics '{}' "[.podMetrics[0].containerMetrics[0].metrics[] | select(.name == \"$1\") |
		\"\(.labelValues[6:] | join(\",\"))=\(.value.value)\"] | sort | join(\" \")"
}

# held CGROUP: how many descriptors and sockets /proc shows of its processes, as the metrics should say.
held() {
	local pid descriptors=0 sockets=0
	for pid in $(cat "$(cgroup_file pids "$1" cgroup.procs)"); do
		descriptors=$((descriptors + $(find "/proc/$pid/fd" -type l | wc -l)))
		sockets=$((sockets + $(find "/proc/$pid/fd" -lname 'socket:*' | wc -l)))
	done
	printf '=%s =%s\n' "$descriptors" "$sockets"
}

@test "metrics: descriptors, sockets and the limit on them are those in /proc, huge pages those of the cgroup" {
	local pod id path size
	pod=$(run_pod here)
	id=$(run_container "$pod" here listens '.command = ["sh", "-c", "exec 5</dev/null 6</dev/null; nc -l -p 9 & exec sleep 1000"]')
	path=$(container_info "$id" .cgroupPath)
	listens() { [[ $(held "$path") = *=1 ]]; }
	within 20 listens
	held_agrees() { [ "$(metric_of container_file_descriptors) $(metric_of container_sockets)" = "$(held "$path")" ]; }
	within 20 held_agrees
	is "$(metric_of container_ulimits_soft)" \
		"max_open_files=$(awk '/^Max open files/ { print $4 }' "/proc/$(container_info "$id" .pid)/limits")"
	for size in "$(cgroup_file hugetlb "$path" '')"hugetlb.*B.{current,usage_in_bytes}; do
		case $size in *\** | *.rsvd.*) continue ;; esac
		like "$(metric_of container_hugetlb_usage_bytes)" "$(basename "$size" | cut -d. -f2)=$(cat "$size")"
	done
	if [ ! -e "$(cgroup_file hugetlb "$path" cgroup.procs)" ] || ! compgen -G "$(cgroup_file hugetlb "$path" '')hugetlb.*" >/dev/null; then
		is "$(metric_of container_hugetlb_usage_bytes)" ""
	fi
}

@test "included_pod_metrics: only the groups that it names are told and described" {
	local pod names
	printf '[crisp.stats]\nincluded_pod_metrics = ["process", "network"]\n' >"$WORK/crisp.toml.d/stats.toml"
	stop_server
	start_server
	pod=$(run_pod here)
	run_container "$pod" here one >/dev/null
	names=$(ask ListPodSandboxMetrics '{}' '[.podMetrics[] | .metrics[], .containerMetrics[].metrics[] | .name] | unique | join(" ")')
	rm "$WORK/crisp.toml.d/stats.toml"
	like "$names" "container_network_[a-z_ ]* container_processes"
	names="$names $(ask ListMetricDescriptors '{}' '[.descriptors[].name] | unique | join(" ")')"
	like "$names" container_threads_max
	unlike "$names" "cpu|memory|fs_|oom|hugetlb"
	stop_server
	start_server
}

@test "descriptors that polls keep are given back with the pods" {
	local before pod i
	settled() { [ "$(descriptors)" -le "$before" ]; }
	ask ListPodSandboxStats '{}' .stats >/dev/null
	before=$(descriptors)
	for i in 1 2 3; do
		pod=$(run_pod "p$i")
		run_container "$pod" "p$i" quiet "$quiet" >/dev/null
	done
	for i in 1 2 3; do ask ListPodSandboxStats '{}' '.stats | length' >/dev/null; done
	[ "$(descriptors)" -gt "$before" ]
	remove_pods
	within 10 settled
}

@test "nothing is left behind" {
	census_is_clean
}
