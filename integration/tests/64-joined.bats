# Calls that ask for the same thing join (DESIGN.md 6.1): the work goes on when its first caller is gone, each caller has its own
# deadline, and who asks again gets the running work's result, or that of the finished one. Row 31 of the fault matrix; a crowd of
# RunPodSandbox is in 65-pod-faults.

load ../lib/helper

setup_file() {
	slow_suite_start
	[ "$CRISP_SERVER" = crispd ] || return 0
	slow_runtime
	stop_server
	start_server
}
teardown_file() { suite_end; }
setup() { only_crisp; }
teardown() {
	rm -f "$WORK/slow"
	[ -z "${REGISTRY:-}" ] || kill -KILL "$REGISTRY" 2>/dev/null || true
	rm -f "$WORK/crisp.toml.d/telling.toml"
	after_test
}

# A runtime that does what $WORK/slow names and then waits as the slow bridge does.
slow_runtime() {
	local real
	real=$([ "$HANDLER" = runc ] && printf '%s' "$CRISP_RUNC" || command -v "$HANDLER")
	cat >"$WORK/plugins/runtime" <<-END
		#!/bin/sh
		PATH=/usr/sbin:/usr/bin:/sbin:/bin
		case " \$* " in *" \$(cat $WORK/slow 2>/dev/null) "*) ;; *) exec $real "\$@" ;; esac
		$real "\$@"
		status=\$?
		: >$WORK/reached
		while [ -e $WORK/slow ]; do sleep 0.1; done
		exit \$status
	END
	chmod +x "$WORK/plugins/runtime"
	printf '[crisp.runtime.runtimes.slow]\nruntime_path = "%s"\n' "$WORK/plugins/runtime" >"$WORK/crisp.toml.d/slow-runtime.toml"
}

# call FILE METHOD JSON [OPTION...]: in the background, its answer in FILE.
call() {
	local file=$BATS_TEST_TMPDIR/$1 method=$2 json=$3
	shift 3
	crirpc -e "$SERVER_SOCKET" "$@" "$method" "$json" >"$file" 2>&1 3>&- &
}

# answered FILE CODE: within some seconds that is the answer.
answered() {
	local file=$BATS_TEST_TMPDIR/$1
	there() { [ -s "$file" ]; }
	within 60 there
	is "$(head -n 1 "$file")" "$2" "$1"
}

body() { sed -n 3p "$BATS_TEST_TMPDIR/$1"; }
gone() { [ ! -e "$1" ]; }
short="${CRISP_SLOW}s"

@test "[31] RunPodSandbox: another payload under the same name joins, while it is made and after" {
	local request other pod
	request=$(jq -c '{config: .}' "$(pod_file same)")
	other=$(jq -c '.config.hostname = "other" | .config.labels = {x: "y"}' <<<"$request")
	be_slow_in ADD
	call first RunPodSandbox "$request" -cancel "$short"
	within 20 reached
	call second RunPodSandbox "$other"
	call third RunPodSandbox "$other" -t "$short"
	answered first Canceled
	answered third DeadlineExceeded
	rm "$WORK/slow"
	answered second OK
	pod=$(body second | jq -r .podSandboxId)
	is "$(crictl pods --no-trunc -q)" "$pod"
	is "$(pod_field "$pod" .labels.app)" same "the first one's labels"
	is "$(rpc_code RunPodSandbox "$other")" OK
	is "$(sed -n 3p "$BATS_TEST_TMPDIR/rpc" | jq -r .podSandboxId)" "$pod"
}

@test "[31] CreateContainer: retries, other payloads and callers that leave give one container" {
	local pod request other id
	pod=$(crictl runp -r slow "$(pod_file box)")
	request=$(jq -c --arg pod "$pod" --arg image "$BUSYBOX" '{pod_sandbox_id: $pod, sandbox_config: .,
		config: {metadata: {name: "one"}, image: {image: $image}, command: ["sleep", "1000"]}}' "$BATS_TEST_TMPDIR/box.pod.json")
	other=$(jq -c '.config.command = ["sleep", "2000"]' <<<"$request")
	be_slow_in create
	call first CreateContainer "$request" -t "$short"
	within 20 reached
	call cancelled CreateContainer "$request" -cancel "$short"
	call retry CreateContainer "$other"
	answered first DeadlineExceeded
	answered cancelled Canceled
	is "$(crictl ps -aq)" "" "not before it is there"
	rm "$WORK/slow"
	answered retry OK
	id=$(body retry | jq -r .containerId)
	is "$(crictl ps -aq --no-trunc)" "$id"
	is "$(pgrep -c conmon)" 1
	is "$(rpc_code CreateContainer "$other")" OK
	is "$(sed -n 3p "$BATS_TEST_TMPDIR/rpc" | jq -r .containerId)" "$id"
	crictl start "$id" >/dev/null
	is "$(tr '\0' ' ' <"/proc/$(cat "/run/crisp/containers/$id/pidfile")/cmdline")" "sleep 1000 " "the first one's command"
}

stubborn() { # POD PODNAME NAME
	run_container "$1" "$2" "$3" '.command = ["sh", "-c", "trap : TERM; while :; do sleep 0.1; done"]'
}

@test "[31] StopContainer: its caller's deadline comes before the end of the grace, nobody asks again: it is stopped" {
	local pod id
	pod=$(run_pod box)
	id=$(stubborn "$pod" box one)
	is "$(rpc_code StopContainer "{\"container_id\": \"$id\", \"timeout\": $((3 * CRISP_SLOW))}" -t "$short")" DeadlineExceeded
	is "$(container_field "$id" .state)" CONTAINER_RUNNING
	within 20 has_exited "$id"
	is "$(container_field "$id" .exitCode)" 137
}

@test "[31] StopContainer: who asks again joins, with a deadline of his own; a shorter grace counts for all" {
	local pod id begin
	pod=$(run_pod box)
	id=$(stubborn "$pod" box one)
	begin=$(now_ms)
	call first StopContainer "{\"container_id\": \"$id\", \"timeout\": 600}" -cancel "$short"
	call second StopContainer "{\"container_id\": \"$id\", \"timeout\": 600}" -t "$((120 * CRISP_SLOW))s"
	call third StopContainer "{\"container_id\": \"$id\", \"timeout\": 600}" -t "$short"
	answered first Canceled
	answered third DeadlineExceeded
	is "$(container_field "$id" .state)" CONTAINER_RUNNING
	[ ! -s "$BATS_TEST_TMPDIR/second" ]
	is "$(rpc_code StopContainer "{\"container_id\": \"$id\", \"timeout\": 1}")" OK
	answered second OK
	[ $(($(now_ms) - begin)) -lt $((60000 * CRISP_SLOW)) ]
	is "$(container_field "$id" .state)" CONTAINER_EXITED
}

@test "[31] RemovePodSandbox: its caller has gone, nobody asks again: the pod goes" {
	local pod
	pod=$(run_pod box)
	run_container "$pod" box one >/dev/null
	be_slow_in DEL
	call first RemovePodSandbox "{\"pod_sandbox_id\": \"$pod\"}" -cancel "$short"
	within 20 reached
	answered first Canceled
	is "$(crictl pods --no-trunc -q)" "$pod"
	rm "$WORK/slow"
	within 20 gone "$CRISP_ROOT/pods/$pod"
	is "$(crictl pods -q)$(crictl ps -aq)" ""
	is "$(find /var/lib/cni/networks/crisp-it -name '10.*')" ""
}

@test "[31] RemovePodSandbox and StopPodSandbox: twenty at once and retries after DeadlineExceeded are one piece of work" {
	local pod method
	for method in StopPodSandbox RemovePodSandbox; do
		pod=$(run_pod "box-$method")
		be_slow_in DEL
		call first "$method" "{\"pod_sandbox_id\": \"$pod\"}" -t "$short"
		within 20 reached
		answered first DeadlineExceeded
		crirpc -e "$SERVER_SOCKET" -n 20 "$method" "{\"pod_sandbox_id\": \"$pod\"}" >"$BATS_TEST_TMPDIR/crowd" 3>&- &
		is "$(rpc_code "$method" "{\"pod_sandbox_id\": \"$pod\"}" -t "$short")" DeadlineExceeded
		rm "$WORK/slow"
		wait "$!"
		is "$(sort "$BATS_TEST_TMPDIR/crowd" | uniq -c | tr -d ' ')" "20OK{}" "$method"
		is "$(rpc_code "$method" "{\"pod_sandbox_id\": \"$pod\"}")" OK
		is "$(rpc_code RemovePodSandbox "{\"pod_sandbox_id\": \"$pod\"}")" OK
		rm "$BATS_TEST_TMPDIR/first" "$BATS_TEST_TMPDIR/crowd"
	done
	is "$(crictl pods -q)" ""
}

# A second registry on the same files, stopped: nobody gets an answer until it goes on.
stopped_registry() {
	rm -f "$WORK/telling.log"
	printf '%s\n' "version: 0.1" "log: {level: error}" "storage: {filesystem: {rootdirectory: $CRISP_IMAGES}}" \
		"http: {addr: 127.0.0.1:5001}" >"$WORK/telling.yaml"
	OTEL_TRACES_EXPORTER=none detached "$WORK/telling.log" "$("$CRISP_IT/images/registry")/usr/bin/docker-registry" serve "$WORK/telling.yaml"
	REGISTRY=$DETACHED
	within 20 curl -fsS -o /dev/null http://127.0.0.1:5001/v2/
	printf '[crisp.image]\ninsecure_registries = ["127.0.0.1:5001"]\n' >"$WORK/crisp.toml.d/telling.toml"
	kill -HUP "$(server_pid)"
	known() { rpc_code PullImage '{"image": {"image": "127.0.0.1:5001/any:absent"}}' | grep -q NotFound; }
	within 10 known
	kill -STOP "$REGISTRY"
}

@test "[31] PullImage: the first caller leaves, another's deadline comes, the third gets the image; blobs are asked for once" {
	local request='{"image": {"image": "127.0.0.1:5001/library/crisp-oci:1"}}' id
	stopped_registry
	call first PullImage "$request" -cancel "$short"
	call second PullImage "$request" -t "$short"
	call third PullImage "$request" -t "$((120 * CRISP_SLOW))s"
	answered first Canceled
	answered second DeadlineExceeded
	kill -CONT "$REGISTRY"
	answered third OK
	id=$(body third | jq -r .imageRef)
	is "$(rpc_code PullImage "$request")" OK
	is "$(sed -n 3p "$BATS_TEST_TMPDIR/rpc" | jq -r .imageRef)" "$id"
	is "$(grep -oE '"GET [^ ]*/blobs/sha256:[0-9a-f]{64}' "$WORK/telling.log" | sort | uniq -d)" ""
	crictl rmi "$id" >/dev/null
	rm "$WORK/crisp.toml.d/telling.toml"
	kill -HUP "$(server_pid)"
}

@test "nothing is left behind" {
	rmdir /run/crisp/slow 2>/dev/null || true # the runtime's own folder
	census_is_clean
}
