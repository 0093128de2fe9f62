# When something runs out: descriptors, processes, memory of helpers, disk, inodes, /run, the disk of the logs. Calls say
# ResourceExhausted, what is there can be stopped and removed, workloads go on, and once there is room again all works without a restart.
# (Rows of the fault matrix are named in brackets.)

load ../lib/helper

setup_file() {
	suite_start
	[ "$CRISP_SERVER" = crispd ] || return 0
	tight_helpers
	stop_server
	start_server
}
teardown_file() { suite_end; }
setup() { only_crisp; }
teardown() {
	rm -f "$WORK/tight"
	roomy_again
	after_test
	[ -z "${TIGHT:-}" ] || out_of_tight
	if [ -e "$WORK/own" ]; then back_to_usual; fi
}

# What a test has limited of the server.
roomy_again() {
	enough_descriptors
	[ -z "${TIGHT:-}" ] || echo max >"$TIGHT/pids.max"
	if [ -n "${FILLED:-}" ]; then rm -f "$FILLED"; fi
}

# What the server made while it was in there is undone in the background, at last.
out_of_tight() {
	server_pid >"${TIGHT%/*}/cgroup.procs"
	empty() { rmdir "$TIGHT" 2>/dev/null; }
	within 60 empty
}

enough_descriptors() {
	prlimit --pid "$(server_pid)" --nofile="$(awk '/^Max open files/ { print $5 }' "/proc/$(server_pid)/limits"):"
}

# Helpers that get no memory while $WORK/tight names them.
tight_helpers() {
	local real name
	mkdir -p "$WORK/plugins"
	real=$([ "$HANDLER" = runc ] && printf '%s' "$CRISP_RUNC" || command -v "$HANDLER")
	for name in runtime bridge; do
		cat >"$WORK/plugins/$name" <<-END
			#!/bin/sh
			[ "\$(cat $WORK/tight 2>/dev/null)" != $name ] || ulimit -v $([ $name$HANDLER = runtimecrun ] && echo 3000 || echo 40000)
			exec $([ $name = bridge ] && echo "$CRISP_CNI/bridge" || echo "$real") "\$@"
		END
		chmod +x "$WORK/plugins/$name"
	done
	printf '[crisp.network]\nplugin_dirs = ["%s", "%s"]\n[crisp.runtime.runtimes.tight]\nruntime_path = "%s"\n' \
		"$WORK/plugins" "$CRISP_CNI" "$WORK/plugins/runtime" >"$WORK/crisp.toml.d/tight.toml"
}

pod_json() { jq -c '{config: .}' "$(pod_file "$1")"; }
create_json() { # POD PODNAME NAME
	jq -c --arg pod "$1" --arg image "$BUSYBOX" --arg name "$3" '{pod_sandbox_id: $pod, sandbox_config: .,
		config: {metadata: {name: $name}, image: {image: $image}, command: ["sleep", "1000"]}}' "$BATS_TEST_TMPDIR/$2.pod.json"
}

# works POD PODNAME: the whole life of a container in that pod, and of another pod.
works() {
	local pod container
	container=$(run_container "$1" "$2" after)
	is "$(in_container "$container" echo hello)" hello
	crictl rm -f "$container" >/dev/null
	pod=$(run_pod after)
	container=$(run_container "$pod" after one)
	is "$(in_container "$container" echo hello)" hello
	crictl rmp -f "$pod" >/dev/null
}

# ticks: processor time the server has used, in 1/100 s.
ticks() { awk '{ print $14 + $15 }' "/proc/$(server_pid)/stat"; }

@test "[38] descriptors run out: ResourceExhausted, no spinning, what is there goes, and then all works again" {
	local pod container spare used before codes request
	pod=$(run_pod box)
	container=$(run_container "$pod" box one)
	used=$(find "/proc/$(server_pid)/fd" | wc -l)
	for spare in 24 16 12 8 5 3 1; do
		request=$(pod_json "spare-$spare")
		prlimit --pid "$(server_pid)" --nofile=$((used + spare)):
		codes+=" $(rpc_code RunPodSandbox "$request" -t 5s)"
		codes+=" $(rpc_code CreateContainer "$(create_json "$pod" box "spare-$spare")" -t 5s)"
		codes+=" $(rpc_code ExecSync "{\"container_id\": \"$container\", \"cmd\": [\"true\"], \"timeout\": 5}" -t 5s)"
	done
	before=$(ticks)
	sleep 2
	[ $(($(ticks) - before)) -lt 100 ] || { printf 'it spins: %s ticks in 2 s\n' $(($(ticks) - before)); false; }
	printf 'codes:%s\n' "$codes"
	like "$codes" ResourceExhausted
	unlike "$codes" 'Unknown|Internal|NotFound|InvalidArgument'
	enough_descriptors
	is "$(container_field "$container" .state)" CONTAINER_RUNNING
	works "$pod" box
	remove_pods
	is "$(pgrep -c 'crisp-pause|conmon')" 0
	no_more() { [ "$(find "/proc/$(server_pid)/fd" | wc -l)" -le $((used + 4)) ]; }
	within 15 no_more
}

@test "[38] descriptors run out: a pod and its container are removed with a few left" {
	local pod used
	pod=$(run_pod box)
	run_container "$pod" box one >/dev/null
	used=$(find "/proc/$(server_pid)/fd" | wc -l)
	prlimit --pid "$(server_pid)" --nofile=$((used + 40)):
	crictl stopp "$pod" >/dev/null
	crictl rmp "$pod" >/dev/null
	is "$(crictl pods -q)$(crictl ps -aq)" ""
	enough_descriptors
}

# A cgroup for the server's process alone, with room for nobody else. What the server makes later is in it, too.
@test "[38] processes run out: ResourceExhausted, and then all works again" {
	local pod container folder codes i
	folder=$(find /sys/fs/cgroup -maxdepth 1 -name pids -type d)
	[ -n "$folder" ] || skip "no pids controller of its own"
	pod=$(run_pod box)
	container=$(run_container "$pod" box one)
	TIGHT=$folder/crisp-tight
	mkdir "$TIGHT"
	server_pid >"$TIGHT/cgroup.procs"
	echo 1 >"$TIGHT/pids.max" # it has more: no thread and no process is made any more
	for i in 1 2 3; do
		codes+=" $(rpc_code RunPodSandbox "$(pod_json "full-$i")" -t 20s)"
		codes+=" $(rpc_code CreateContainer "$(create_json "$pod" box "full-$i")" -t 20s)"
		like "$(rpc_code ExecSync "{\"container_id\": \"$container\", \"cmd\": [\"true\"], \"timeout\": 5}" -t 20s)" '^(ResourceExhausted|Internal)$'
	done
	is "$codes" " ResourceExhausted ResourceExhausted ResourceExhausted ResourceExhausted ResourceExhausted ResourceExhausted"
	is "$(container_field "$container" .state)" CONTAINER_RUNNING
	like "$(rpc_code StopContainer "{\"container_id\": \"$container\"}" -t 20s)" '^(OK|ResourceExhausted)$'
	echo max >"$TIGHT/pids.max"
	is "$(rpc_code RemoveContainer "{\"container_id\": \"$container\"}" -t 20s)" OK
	works "$pod" box
}

@test "[38] helpers get no memory: an error that says so, nothing stays, and the same call works later" {
	local pod request code
	pod=$(crictl runp -r tight "$(pod_file box)")
	printf bridge >"$WORK/tight"
	request=$(pod_json other)
	is "$(rpc_code RunPodSandbox "$request")" ResourceExhausted
	[ -n "$(rpc_text)" ]
	is "$(crictl pods -q | wc -l)" 1
	printf runtime >"$WORK/tight"
	code=$(rpc_code CreateContainer "$(create_json "$pod" box one)")
	[ "$code $HANDLER" = "Internal runc" ] || is "$code" ResourceExhausted
	[ -n "$(rpc_text)" ]
	is "$(crictl ps -aq)" ""
	rm "$WORK/tight"
	# its network could not be released, either: that is done in the background
	undone() { [ "$(pgrep -c crisp-pause)" = 1 ]; }
	within 60 undone
	is "$(rpc_code RunPodSandbox "$request")" OK
	is "$(rpc_code CreateContainer "$(create_json "$pod" box one)")" OK
}

# own_server SIZE INODES RUNSIZE RUNINODES: a crispd whose root and runroot are small filesystems, behind the same socket.
own_server() {
	mkdir -p "$WORK/own/root" "$WORK/own/run"
	mount -t tmpfs -o "mode=755,size=$1,nr_inodes=$2" own "$WORK/own/root"
	mount -t tmpfs -o "mode=755,size=$3,nr_inodes=$4" own "$WORK/own/run"
	stop_server
	detached "$SERVER_LOG" "$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d" \
		--root "$WORK/own/root" --runroot "$WORK/own/run"
	printf '%s\n' "$DETACHED" >"$WORK/server.pid"
	within 20 server_answers
	kill -0 "$(server_pid)"
	crictl pull "$BUSYBOX" >/dev/null
}

back_to_usual() {
	stop_server
	umount "$WORK/own/root"
	umount -R "$WORK/own/run"
	rmdir "$WORK/own/root" "$WORK/own/run" "$WORK/own"
	start_server
}

# fill FOLDER: to the last byte.
fill() {
	FILLED=$1/filler
	dd if=/dev/zero of="$FILLED" bs=64k 2>/dev/null || true
	dd if=/dev/zero of="$FILLED" bs=1 seek="$(stat -c %s "$FILLED")" count=4096 2>/dev/null || true
}

# full_and_free FOLDER POD_CODE: what is refused, and what is not, while there is no room; then again with room.
full_and_free() {
	local pod container second code
	pod=$(run_pod box)
	container=$(run_container "$pod" box one)
	second=$(create_container "$pod" box two)
	run_pod leaving >/dev/null
	fill "$1"
	is "$(rpc_code RunPodSandbox "$(pod_json new)")" "$2"
	if [ "$2" = OK ]; then
		crictl rmp -f "$(crictl pods -q --no-trunc --name new)" >/dev/null
	else
		like "$(rpc_text)" "No space left"
	fi
	# Debian's runc does not always tell what it failed for.
	code=$(rpc_code CreateContainer "$(create_json "$pod" box three)")
	[ "$code $HANDLER" = "Internal runc" ] || is "$code" ResourceExhausted
	is "$(crictl pods -q | wc -l)" 2
	is "$(crictl ps -aq | wc -l)" 2
	is "$(container_field "$container" .state)" CONTAINER_RUNNING
	code=$(rpc_code StartContainer "{\"container_id\": \"$second\"}")
	like "$code" '^(OK|ResourceExhausted)$'
	# What is there can end and go, and is gone for good.
	is "$(rpc_code RemoveContainer "{\"container_id\": \"$second\"}")" OK
	code=$(rpc_code StopContainer "{\"container_id\": \"$container\"}")
	like "$code" '^(OK|ResourceExhausted)$'
	has_exited "$container"
	is "$(rpc_code RemoveContainer "{\"container_id\": \"$container\"}")" OK
	is "$(rpc_code RemovePodSandbox "{\"pod_sandbox_id\": \"$(crictl pods -q --no-trunc --name leaving)\"}")" OK
	is "$(crictl ps -aq)" ""
	is "$(crictl pods -q --no-trunc)" "$pod"
	rm "$FILLED"
	works "$pod" box
	remove_pods
}

@test "[16] the disk of the state is full: ResourceExhausted, what is there goes, and there is no restart needed" {
	own_server 64m 20000 8m 4000
	full_and_free "$WORK/own/root" ResourceExhausted
}

@test "[19] /run is full: ResourceExhausted for a container, what is there goes, and there is no restart needed" {
	own_server 64m 20000 2m 4000
	# A pod has its few files in a tmpfs of its own; a container needs room.
	full_and_free "$WORK/own/run" OK
}

@test "[17] the disk of the images is full, or has no inodes: ResourceExhausted, nothing of the image stays, and later it is pulled" {
	local before size folder=$WORK/own/root
	own_server 96m 3000 8m 4000
	store() { find "$folder" -path "$folder/tmp" -prune -o -type f -print | grep -v filler | sort; }
	before=$(store)
	is "$(rpc_code PullImage '{"image": {"image": "docker.io/library/crisp-layers:1"}}' -t 120s)" ResourceExhausted
	like "$(rpc_text)" "No space left"
	fewer() { [ "$(store)" = "$before" ] || { kill -HUP "$(server_pid)"; false; }; }
	is "$(crictl images -q | wc -l)" 1
	fill "$folder"
	is "$(rpc_code PullImage "{\"image\": {\"image\": \"$NGINX\"}}")" ResourceExhausted
	rm "$FILLED"
	# inodes
	mkdir "$folder/inodes"
	(cd "$folder/inodes" && seq 4000 | xargs touch 2>/dev/null) || true
	is "$(rpc_code PullImage "{\"image\": {\"image\": \"$STAGING/test-image-tag:test\"}}")" ResourceExhausted
	rm -r "${folder:?}/inodes"
	is "$(rpc_code PullImage "{\"image\": {\"image\": \"$STAGING/test-image-tag:test\"}}")" OK
	is "$(crictl images -q | wc -l)" 2
}

@test "[18] the disk of the logs is full, or their folder is gone: the container goes on, and so does its log once there is room" {
	local pod container logs=$WORK/logs lines
	mkdir "$logs"
	mount -t tmpfs -o size=256k logs "$logs"
	pod=$(run_pod box ".log_directory = \"$logs/here\"")
	container=$(run_container "$pod" box one '.command = ["sh", "-c",
		"i=0; while :; do i=$((i + 1)); echo line $i; echo $i >/count; sleep 0.01; done"]')
	count() { cat "/proc/$(cat "/run/crisp/containers/$container/pidfile")/root/count"; }
	counts() { [ "$(count)" -gt "$1" ]; }
	within 20 counts 20
	fill "$logs"
	within 30 counts $(($(count) + 200))
	is "$(container_field "$container" .state)" CONTAINER_RUNNING
	rm "$FILLED"
	lines=$(wc -l <"$logs/here/one.log")
	mv "$logs/here/one.log" "$logs/here/old.log"
	is "$(rpc_code ReopenContainerLog "{\"container_id\": \"$container\"}")" OK
	grows() { [ "$(wc -l <"$logs/here/one.log")" -gt 20 ]; }
	within 20 grows
	rm -r "${logs:?}/here"
	within 30 counts $(($(count) + 100))
	crictl stop -t 0 "$container" >/dev/null
	crictl rm "$container" >/dev/null
	crictl rmp -f "$pod" >/dev/null
	umount "$logs"
	rmdir "$logs"
}

@test "nothing is left behind" {
	rmdir /run/crisp/tight 2>/dev/null || true # the runtime's own folder
	census_is_clean
}
