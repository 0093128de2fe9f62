# What crispd tells about itself: events of pods and containers (crictl, and a crowd of subscribers of which some do not
# read), metrics as Prometheus reads them, traces as a collector gets them, and the log.

load ../lib/helper

METRICS=127.0.0.1:9190
COLLECTOR=127.0.0.1:4319

setup_file() {
	suite_start
	[ "$CRISP_SERVER" = crispd ] || return 0
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=crispd -addext subjectAltName=IP:127.0.0.1 \
		-keyout "$WORK/metrics.key" -out "$WORK/metrics.pem" 2>/dev/null
	configure <<-END
		[crisp.metrics]
		enable_metrics = true
		metrics_port = ${METRICS#*:}
		metrics_socket = "$WORK/metrics.sock"
		[crisp.tracing]
		enable_tracing = true
		tracing_endpoint = "$COLLECTOR"
	END
}
teardown_file() { suite_end; }
setup() { only_crisp; }
teardown() {
	local pid
	for pid in "${BACKGROUND[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
	after_test
}
BACKGROUND=()

# The configuration's drop-in of this file, and a server that has read it.
configure() {
	cat >"$WORK/crisp.toml.d/events.toml"
	stop_server
	start_server
}

# ---- events ----

# follow_events: crictl writes them to $BATS_TEST_TMPDIR/events from here on.
follow_events() {
	local before
	before=$(metric events_subscribers)
	command crictl events >"$BATS_TEST_TMPDIR/events" 2>"$BATS_TEST_TMPDIR/events.err" 3>&- 4>&- &
	BACKGROUND+=($!)
	within 20 subscribed "$((before + 1))"
}

subscribed() {
	[ "$(metric events_subscribers)" = "$1" ]
}

# heard FILTER: of each event that is whole.
heard() {
	jq -r "$1" "$BATS_TEST_TMPDIR/events" 2>/dev/null || true
}

# hear COUNT: waits until so many were heard.
hear() {
	within 20 has_heard "$1" || { cat "$BATS_TEST_TMPDIR"/events*; return 1; }
}

has_heard() {
	[ "$(heard .createdAt | wc -l)" -ge "$1" ]
}

# What was heard of one id: its events' names in a line.
events_of() {
	heard "select(.containerId == \"$1\") | .containerEventType" | sed 's/^CONTAINER_//; s/_EVENT$//' | paste -sd ' '
}

@test "crictl events: the life of a pod and of a container, with full statuses" {
	local pod id
	follow_events
	pod=$(run_pod told)
	id=$(run_container "$pod" told first)
	crictl stop -t 0 "$id" >/dev/null
	crictl rm "$id" >/dev/null
	crictl stopp "$pod" >/dev/null
	crictl rmp "$pod" >/dev/null
	hear 8
	is "$(events_of "$pod")" "CREATED STARTED STOPPED DELETED"
	is "$(events_of "$id")" "CREATED STARTED STOPPED DELETED"
	is "$(heard '.createdAt | tonumber' | sort -nc && echo sorted)" sorted
	# The pod's status is in all of them, as PodSandboxStatus has it.
	is "$(heard .podSandboxStatus.metadata.name | sort -u)" told
	is "$(heard 'select(.containerEventType == "CONTAINER_STARTED_EVENT") | .podSandboxStatus.state' | sort -u)" SANDBOX_READY
	like "$(heard 'select(.containerEventType == "CONTAINER_STARTED_EVENT") | .podSandboxStatus.network.ip' | tail -n 1)" '^10\.'
	is "$(heard "select(.containerId == \"$pod\" and .containerEventType == \"CONTAINER_STOPPED_EVENT\") | .podSandboxStatus.state")" SANDBOX_NOTREADY
	# The containers' statuses are those of the moment.
	is "$(heard "select(.containerId == \"$id\") | [.containersStatuses[]? | .state] | join(\",\")" | paste -sd ' ')" \
		"CONTAINER_CREATED CONTAINER_RUNNING CONTAINER_EXITED "
	is "$(heard "select(.containerId == \"$id\" and .containerEventType == \"CONTAINER_STOPPED_EVENT\") | .containersStatuses[0].exitCode")" 137
	is "$(heard 'select(.containersStatuses | length > 0) | .containersStatuses[0].labels.part' | sort -u)" first
}

@test "events: a container that ends by itself, one whose monitor dies, one that cannot start, a pod whose pause dies" {
	local pod brief lost bad pid
	pod=$(run_pod ends)
	follow_events
	brief=$(run_container "$pod" ends brief '.command = ["sh", "-c", "exit 3"]')
	lost=$(run_container "$pod" ends lost)
	within 20 has_exited "$brief"
	kill -KILL "$(crictl inspect "$lost" | jq .info.monitorPid)"
	within 20 has_exited "$lost"
	bad=$(create_container "$pod" ends bad '.command = ["/nothing/here"]') || bad=
	pid=$(crictl inspectp "$pod" | jq .info.pid)
	kill -KILL "$pid"
	hear 7
	is "$(events_of "$brief")" "CREATED STARTED STOPPED"
	is "$(events_of "$lost")" "CREATED STARTED STOPPED"
	is "$(heard "select(.containerId == \"$brief\" and .containerEventType == \"CONTAINER_STOPPED_EVENT\") | .containersStatuses[0] | \"\(.exitCode) \(.reason)\"")" "3 Error"
	is "$bad" ""
	is "$(heard "select(.containersStatuses[]?.metadata.name == \"bad\") | .containerId")" "" "events of what never came to be"
	crictl stopp "$pod" >/dev/null
	crictl rmp "$pod" >/dev/null
	hear 10
	is "$(events_of "$pod")" "STOPPED DELETED"
	is "$(events_of "$brief")" "CREATED STARTED STOPPED DELETED"
}

# CRISP_EVENT_PODS=250: a thousand events.
@test "100 subscribers, ten of which do not read: the others miss nothing and nobody waits" {
	local out
	out=$(crievents -e "$SERVER_SOCKET" -readers 90 -stalled 10 -pods "${CRISP_EVENT_PODS:-25}" -t "$((120 * CRISP_SLOW))s" \
		-config "$(pod_file crowd '.linux.security_context = {namespace_options: {network: "NODE"}}')" | tail -n 1)
	printf '%s\n' "$out"
	is "$(jq -r '"\(.complete) \(.same) \(.stalled + .cut_off)"' <<<"$out")" "90 true 10"
	within 20 subscribed 0
}

@test "events can be switched off" {
	printf '[crisp.runtime]\nenable_pod_events = false\n' >"$WORK/crisp.toml.d/no-events.toml"
	stop_server
	start_server
	is "$(rpc_code GetContainerEvents '{}')" Unimplemented
	like "$(rpc_text)" enable_pod_events
	rm "$WORK/crisp.toml.d/no-events.toml"
	stop_server
	start_server
}

# ---- metrics ----

scrape() {
	curl -fsS -m 20 "http://$METRICS/metrics"
}

# metric SERIES: its value, without the prefix; nothing when it is not shown.
metric() {
	scrape | awk -v name="container_runtime_crisp_$1" '{ at = length(name); if (substr($0, 1, at + 1) == name " ") print substr($0, at + 2) }'
}

@test "metrics: calls, pods, containers, verbs and plugins are counted" {
	local pod before pulls
	before=$(metric 'operations_total{operation="RunPodSandbox"}')
	pulls=$(metric image_pulls_success_total)
	pod=$(run_pod counted)
	run_container "$pod" counted one >/dev/null
	crictl pull "$BUSYBOX" >/dev/null
	is "$(rpc_code ContainerStatus '{"container_id": "0000"}')" NotFound
	is "$(metric 'operations_total{operation="RunPodSandbox"}')" "$((${before:-0} + 1))"
	is "$(metric 'pods{state="ready"}')" 1
	is "$(metric 'containers{state="running"}')" 1
	is "$(metric image_pulls_success_total)" "$((pulls + 1))"
	is "$(metric 'operations_errors_total{operation="ContainerStatus",code="NOT_FOUND"}')" 1
	[ "$(metric 'operations_latency_seconds_count{operation="CreateContainer"}')" -ge 1 ]
	[ "$(metric 'runtime_operations_latency_seconds_count{verb="create"}')" -ge 1 ]
	[ "$(metric 'runtime_operations_latency_seconds_count{verb="start"}')" -ge 1 ]
	[ "$(metric 'network_operations_latency_seconds_count{command="ADD"}')" -ge 1 ]
	[ "$(metric image_layer_reuse_total)" -ge 1 ]
	like "$(scrape | awk '$1 == "process_resident_memory_bytes" { print $2 }')" '^[0-9]{7,8}$'
	crictl stopp "$pod" >/dev/null
	is "$(metric 'pods{state="notready"}')" 1
	is "$(metric 'containers{state="exited"}')" 1
}

@test "metrics: deaths of monitors, lack of memory, requests that join" {
	local pod id deaths killed joined
	deaths=$(metric monitor_deaths_total)
	killed=$(metric containers_oom_total)
	joined=$(metric requests_joined_total)
	pod=$(run_pod dies)
	id=$(run_container "$pod" dies lost)
	kill -KILL "$(crictl inspect "$id" | jq .info.monitorPid)"
	within 20 has_exited "$id"
	is "$(metric monitor_deaths_total)" "$((deaths + 1))"
	# Where the runtime can limit memory at all.
	if with_controller memory; then
		id=$(run_container "$pod" dies hungry '.command = ["sh", "-c", "x=a; while :; do x=$x$x; done"]
			| .linux.resources = {memory_limit_in_bytes: 16777216}')
		within 30 has_exited "$id"
		is "$(container_field "$id" .reason)" OOMKilled
		is "$(metric containers_oom_total)" "$((killed + 1))"
	fi
	crirpc -e "$SERVER_SOCKET" -n 20 RunPodSandbox "{\"config\": $(cat "$(pod_file joined)")}" >/dev/null
	[ "$(metric requests_joined_total)" -gt "$joined" ]
}

@test "metrics: what is served is well-formed, over the unix socket too, and nothing else is served" {
	scrape >"$BATS_TEST_TMPDIR/page"
	# Each family once, its HELP and TYPE before its samples.
	is "$(grep '^# TYPE' "$BATS_TEST_TMPDIR/page" | awk '{ print $3 }' | sort | uniq -d)" ""
	is "$(grep -c '^# HELP' "$BATS_TEST_TMPDIR/page")" "$(grep -c '^# TYPE' "$BATS_TEST_TMPDIR/page")"
	is "$(grep -vcE '^# (HELP|TYPE) [a-z_]+ .+|^[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.]+$' "$BATS_TEST_TMPDIR/page")" 0
	is "$(promtool check metrics <"$BATS_TEST_TMPDIR/page" 2>&1)" "" "what promtool says"
	is "$(stat -c '%a %F' "$WORK/metrics.sock")" "600 socket"
	is "$(curl -fsS -m 20 --unix-socket "$WORK/metrics.sock" http://localhost/metrics | grep -c '^# TYPE')" \
		"$(grep -c '^# TYPE' "$BATS_TEST_TMPDIR/page")"
	is "$(curl -sS -m 20 -o /dev/null -w '%{http_code} %{content_type}' "http://$METRICS/metrics")" \
		"200 text/plain; version=0.0.4; charset=utf-8"
	is "$(curl -sS -m 20 -o /dev/null -w '%{http_code}' "http://$METRICS/debug/pprof")" 404
	is "$(curl -sS -m 20 -X POST -d x=y -o /dev/null -w '%{http_code}' "http://$METRICS/metrics")" 405
}

@test "metrics: HTTPS, some collectors only, and off by default" {
	configure <<-END
		[crisp.metrics]
		enable_metrics = true
		metrics_port = ${METRICS#*:}
		metrics_cert = "$WORK/metrics.pem"
		metrics_key = "$WORK/metrics.key"
		metrics_collectors = ["operations_total", "process"]
	END
	is "$(curl -fsS -m 20 --cacert "$WORK/metrics.pem" "https://$METRICS/metrics" | awk '/^# TYPE/ { print $3 }' | sed 's/process_.*/process/' | sort -u |
		paste -sd ' ')" "container_runtime_crisp_operations_total process"
	! scrape 2>/dev/null
	configure </dev/null
	is "$(ss -Hltn "sport = :9090 or sport = :${METRICS#*:}" | wc -l)" 0
	[ ! -e "$WORK/metrics.sock" ]
	configure <<-END
		[crisp.metrics]
		enable_metrics = true
		metrics_port = ${METRICS#*:}
		[crisp.tracing]
		enable_tracing = true
		tracing_endpoint = "$COLLECTOR"
	END
}

# ---- traces ----

collected() {
	[ "$(grep -c "$1" "$BATS_TEST_TMPDIR/spans")" -ge "$2" ]
}

@test "traces: a client's sampled calls become spans of its trace, others do not" {
	local trace=4bf92f3577b34da6a3ce929d0e0e4736 parent=00f067aa0ba902b7 pod span
	otlpsink "$COLLECTOR" >"$BATS_TEST_TMPDIR/spans" 2>&1 3>&- 4>&- &
	BACKGROUND+=($!)
	pod=$(run_pod traced)
	is "$(rpc_code PodSandboxStatus "{\"pod_sandbox_id\": \"$pod\"}" -header "traceparent=00-$trace-$parent-01")" OK
	is "$(rpc_code StopPodSandbox "{\"pod_sandbox_id\": \"$pod\"}" -header "traceparent=00-$trace-$parent-00")" OK
	is "$(rpc_code RemovePodSandbox "{\"pod_sandbox_id\": \"$pod\"}" -header "traceparent=00-$trace-$parent-01")" OK
	is "$(rpc_code ContainerStatus '{"container_id": "0000"}' -header "traceparent=00-$trace-$parent-01")" NotFound
	within 20 collected "$trace" 3
	span=$(grep PodSandboxStatus "$BATS_TEST_TMPDIR/spans")
	is "$(jq -r '"\(.service) \(.trace) \(.parent) \(.kind) \(.status)"' <<<"$span")" \
		"crispd $trace $parent SPAN_KIND_SERVER STATUS_CODE_UNSET"
	is "$(jq -r '.attributes | "\(."rpc.system") \(."rpc.method") \(."rpc.grpc.status_code") \(."crisp.pod.id")"' <<<"$span")" \
		"grpc PodSandboxStatus 0 $pod"
	is "$(grep ContainerStatus "$BATS_TEST_TMPDIR/spans" | jq -r '"\(.status) \(.attributes."rpc.grpc.status_code")"')" "STATUS_CODE_UNSET 5"
	is "$(grep -c 'StopPodSandbox\|"bad"' "$BATS_TEST_TMPDIR/spans" || true)" 0
	is "$(jq -r .span "$BATS_TEST_TMPDIR/spans" | sort | uniq -d)" ""
	within 20 eval '[ "$(metric trace_spans_sent_total)" = "$(wc -l <"$BATS_TEST_TMPDIR/spans")" ]'
	is "$(metric trace_spans_dropped_total)" 0
}

# child_of CALL NAME: the spans of that name which are parts of the call's own span, "of status" each, sorted.
child_of() {
	local call
	call=$(jq -r "select(.name == \"runtime.v1.RuntimeService/$1\" or .name == \"runtime.v1.ImageService/$1\") | .span" "$BATS_TEST_TMPDIR/spans")
	jq -r --arg call "$call" --arg name "$2" 'select(.parent == $call and .name == $name and .kind == "SPAN_KIND_INTERNAL")
		| "\(.attributes."crisp.step.of") \(.status)"' "$BATS_TEST_TMPDIR/spans" | sort | paste -sd,
}

@test "traces: plugins, the runtime and the steps of a pull are parts of their call" {
	local trace=5bf92f3577b34da6a3ce929d0e0e4737 parent=00f067aa0ba902b7 header pod
	header="traceparent=00-$trace-$parent-01"
	otlpsink "$COLLECTOR" >"$BATS_TEST_TMPDIR/spans" 2>&1 3>&- 4>&- &
	BACKGROUND+=($!)
	is "$(rpc_code RunPodSandbox "{\"config\": $(cat "$(pod_file parts)")}" -header "$header")" OK
	pod=$(sed -n 3p "$BATS_TEST_TMPDIR/rpc" | jq -r .podSandboxId)
	is "$(rpc_code CreateContainer "{\"pod_sandbox_id\": \"$pod\", \"sandbox_config\": $(cat "$BATS_TEST_TMPDIR/parts.pod.json"),
		\"config\": {\"metadata\": {\"name\": \"c\"}, \"image\": {\"image\": \"$BUSYBOX\"}, \"command\": [\"no-such-program\"]}}" -header "$header")" InvalidArgument
	is "$(rpc_code PullImage "{\"image\": {\"image\": \"$STAGING/test-image-1:latest\"}}" -header "$header")" OK
	crictl rmi "$STAGING/test-image-1:latest" >/dev/null
	is "$(rpc_code StopPodSandbox "{\"pod_sandbox_id\": \"$pod\"}" -header "traceparent=00-$trace-$parent-00")" OK
	within 20 collected "RunPodSandbox\|CreateContainer\|PullImage" 3
	cat "$BATS_TEST_TMPDIR/spans"
	is "$(child_of RunPodSandbox "cni ADD")" "bridge STATUS_CODE_UNSET,portmap STATUS_CODE_UNSET"
	is "$(child_of CreateContainer "runtime create")" "null STATUS_CODE_ERROR"
	like "$(child_of PullImage "image manifest")" "STATUS_CODE_UNSET"
	like "$(child_of PullImage "image layer")" "^sha256:[0-9a-f]{64} STATUS_CODE_UNSET"
	is "$(grep -c '"cni DEL"\|"bad"' "$BATS_TEST_TMPDIR/spans" || true)" 0 # of a call that is not traced
	is "$(jq -r .span "$BATS_TEST_TMPDIR/spans" | sort | uniq -d)" ""
}

# ---- log ----

logged() { # FROM-LINE PATTERN
	tail -n "+$1" "$SERVER_LOG" | grep -cE "$2" || true
}

@test "log: a line for each call that changes something, with id, name and time; lists are silent" {
	local pod id from
	from=$(($(wc -l <"$SERVER_LOG") + 1))
	pod=$(run_pod logged)
	id=$(run_container "$pod" logged noted)
	crictl ps >/dev/null
	crictl pods >/dev/null
	crictl images >/dev/null
	crictl stop -t 0 "$id" >/dev/null
	crictl rm "$id" >/dev/null
	crictl stopp "$pod" >/dev/null
	crictl rmp "$pod" >/dev/null
	is "$(logged "$from" "level=info msg=\"?RunPodSandbox.*pod=$pod .*name=it/logged .*took=[0-9]+us")" 1
	is "$(logged "$from" "level=info msg=\"?CreateContainer.*pod=$pod .*container=$id .*name=noted .*took=[0-9]+us")" 1
	for call in StartContainer StopContainer RemoveContainer; do
		is "$(logged "$from" "level=info msg=\"?$call.*pod=$pod .*container=$id .*took=[0-9]+us")" 1 "lines of $call"
	done
	for call in StopPodSandbox RemovePodSandbox; do
		is "$(logged "$from" "level=info msg=\"?$call.*pod=$pod .*took=[0-9]+us")" 1 "lines of $call"
	done
	is "$(logged "$from" 'msg="?(List|ImageStatus|Version|Status|PodSandboxStatus|ContainerStatus)')" 0 "lines of calls that only read"
	# One that fails says why.
	is "$(rpc_code StartContainer "{\"container_id\": \"$id\"}")" NotFound
	is "$(logged "$from" "level=warn msg=\"?StartContainer.*container=$id .*code=NOT_FOUND error=")" 1
}

@test "nothing is left behind" {
	census_is_clean
}
