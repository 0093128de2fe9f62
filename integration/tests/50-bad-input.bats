# Requests that are wrong: each is refused with the exact code, on a connection that lives on, and leaves nothing behind.
# (Rows of the bad-input matrix are named in brackets.)

load ../lib/helper
load ../lib/refusals

setup_file() {
	suite_start
	crictl pull docker.io/library/crisp-nocmd:1 >/dev/null
	census_settled >"$BATS_FILE_TMPDIR/census"
}
teardown_file() { suite_end; }
setup() { remember; }
teardown() { after_test; }

# ---- RunPodSandbox ----

@test "[1] RunPodSandbox: without config or metadata" {
	refuses InvalidArgument RunPodSandbox '{}'
	refuses InvalidArgument RunPodSandbox '{"config": {}}'
	refuses InvalidArgument RunPodSandbox '{"config": {"metadata": {}}}'
	refuses InvalidArgument RunPodSandbox "$(pod_request 'del(.config.metadata)')"
}

@test "[1] RunPodSandbox: an empty name, uid or namespace" {
	local part
	for part in name uid namespace; do
		refuses InvalidArgument RunPodSandbox "$(pod_request ".config.metadata.$part = \"\"")"
		like "$(rpc_text)" "$part"
	done
}

@test "[1] RunPodSandbox: metadata that is too long, binary, or would be more of CNI_ARGS" {
	only_crisp
	local part
	for part in name uid namespace; do
		refuses InvalidArgument RunPodSandbox "$(pod_request ".config.metadata.$part = \"a\" * 5000")"
		refuses InvalidArgument RunPodSandbox "$(pod_request ".config.metadata.$part = \"a\\nb\"")"
		refuses InvalidArgument RunPodSandbox "$(pod_request ".config.metadata.$part = \"a;IP=10.88.0.9\"")"
		refuses InvalidArgument RunPodSandbox "$(pod_request ".config.metadata.$part = \"a\\u0000b\"")"
	done
}

@test "[2] RunPodSandbox: an unknown runtime handler" {
	refuses InvalidArgument RunPodSandbox "$(pod_request '.runtime_handler = "no-such"')"
	like "$(rpc_text)" no-such
	refuses InvalidArgument RunPodSandbox "$(pod_request '.runtime_handler = "../crun"')"
	crictl_refuses InvalidArgument runp -r no-such "$(pod_file bad)"
}

@test "[3] RunPodSandbox: a bad hostname" {
	local name
	for name in "$(long 65 a)" a/b 'a\nb' ../a .. -a 'a b' 'a\u0000b' 'ä'; do
		refuses InvalidArgument RunPodSandbox "$(pod_request ".config.hostname = \"$name\"")"
	done
	crictl_refuses InvalidArgument runp "$(pod_file bad '.hostname = "a/b"')"
}

@test "[6] RunPodSandbox: bad ports" {
	local port
	for port in '{container_port: -1}' '{container_port: 80, host_port: 65536}' '{host_port: 8080}' \
		'{container_port: 80, host_port: 8080, host_ip: "1.2.3"}' '{container_port: 80, host_port: 8080, protocol: 9}'; do
		refuses InvalidArgument RunPodSandbox "$(pod_request ".config.port_mappings = [$port]")"
	done
	refuses InvalidArgument RunPodSandbox \
		"$(pod_request '.config.port_mappings = [{container_port: 80, host_port: 8080}, {container_port: 81, host_port: 8080}]')"
}

@test "[6] CVE-2025-67499: RunPodSandbox with a host IP of another host" {
	only_crisp
	local ip
	for ip in 192.0.2.7 224.0.0.1 2001:db8::7; do
		refuses InvalidArgument RunPodSandbox \
			"$(pod_request ".config.port_mappings = [{container_port: 80, host_port: 18082, host_ip: \"$ip\"}]")"
		like "$(rpc_text)" "$ip"
	done
	run_pod own '.port_mappings = [{container_port: 80, host_port: 18082, host_ip: "127.0.0.1"}]' >/dev/null
}

@test "[7] CVE-2025-0750: RunPodSandbox with a log directory that is a link, or leads over one that anybody may have placed" {
	only_crisp
	local link=$BATS_TEST_TMPDIR/link shared
	mkdir "$BATS_TEST_TMPDIR/real"
	ln -s real "$link"
	shared=$(mktemp -d -p "$BATS_TEST_TMPDIR")
	chmod 1777 "$shared"
	ln -s ../real "$shared/link"
	refuses InvalidArgument RunPodSandbox "$(pod_request ".config.log_directory = \"$link\"")"
	like "$(rpc_text)" "symbolic link"
	refuses InvalidArgument RunPodSandbox "$(pod_request ".config.log_directory = \"$shared/link/pod\"")"
	# An administrator may have moved the logs to another disk.
	run_pod moved ".log_directory = \"$link/pod\"" >/dev/null
}

@test "[4 5 7 8] CVE-2022-0811: RunPodSandbox with bad DNS, sysctls, log directory and cgroup parent" {
	local change
	for change in '.dns_config = {servers: ["10.0.0.1\nsearch evil"]}' '.dns_config = {searches: ["a\nb"]}' \
		'.dns_config = {options: [("a" * 1000000)]}' '.linux.sysctls = {"net.ipv4/../../kernel.shmmax": "1"}' \
		'.linux.sysctls = {"kernel.panic": "1"}' '.linux.sysctls = {"net.ipv4. + =": "1"}' '.log_directory = "relative"' \
		'.log_directory = "/tmp/../etc"' '.linux.cgroup_parent = "/../.."' '.linux.cgroup_parent = "/a/../../b"' \
		'.linux.security_context = {run_as_group: {value: 1}}'; do
		refuses InvalidArgument RunPodSandbox "$(pod_request ".config |= ($change)")"
	done
}

# ---- CreateContainer, StartContainer ----

@test "[21] CreateContainer: no command, neither in the request nor in the image" {
	local pod
	pod=$(run_pod box)
	remember
	refuses InvalidArgument CreateContainer \
		"$(container_request "$pod" 'del(.config.command) | .config.image.image = "docker.io/library/crisp-nocmd:1"')"
	like "$(rpc_text)" command
	refuses InvalidArgument CreateContainer "$(container_request "$pod" '.config.command = [""]')"
	run create_container "$pod" box bare 'del(.command) | .image.image = "docker.io/library/crisp-nocmd:1"'
	like "$output" "code = InvalidArgument "
	nothing_made
}

@test "CreateContainer: a program that is not there or cannot be run" {
	only_crisp
	local pod program
	pod=$(run_pod box)
	remember
	for program in /no/such/program no-such-program /etc/issue /etc /etc/issue/below; do
		refuses InvalidArgument CreateContainer "$(container_request "$pod" ".config.command = [\"$program\"]")"
		like "$(rpc_text)" "program \"$program\" cannot be run: "
	done
	like "$(rpc_text)" "[Nn]ot a directory"
	run create_container "$pod" box absent '.command = ["/no/such/program"]'
	like "$output" "code = InvalidArgument .*/no/such/program.*[Nn]o such file"
	nothing_made
}

@test "[25] CVE-2025-0750 CVE-2026-53489: CreateContainer with a log path that leads elsewhere or is no file" {
	only_crisp
	local pod path logs=$BATS_TEST_TMPDIR/logs
	pod=$(run_pod box)
	mkdir -p "$logs/folder"
	ln -s "$BATS_TEST_TMPDIR" "$logs/out"
	ln -s "$BATS_TEST_TMPDIR/canary" "$logs/link.log"
	mkfifo "$logs/fifo"
	remember
	for path in /abs.log ../out.log a/../../out.log . .. folder folder/ folder/. out/canary link.log fifo 'a\nb' 'a\u0000b' "$(long 300 a)"; do
		refuses InvalidArgument CreateContainer "$(container_request "$pod" ".config.log_path = \"$path\"")"
	done
	[ ! -e "$BATS_TEST_TMPDIR/canary" ]
	# The folder itself becomes a link after the pod was made.
	mv "$logs" "$logs.old"
	ln -s "$BATS_TEST_TMPDIR/logs.old" "$logs"
	refuses InvalidArgument CreateContainer "$(container_request "$pod" '.config.log_path = "0.log"')"
	[ ! -e "$logs.old/0.log" ]
}

@test "CreateContainer: without config, metadata, name or image" {
	local pod change
	pod=$(run_pod box)
	remember
	for change in 'del(.config)' 'del(.config.metadata)' '.config.metadata.name = ""' 'del(.config.image)' '.config.image.image = ""'; do
		refuses InvalidArgument CreateContainer "$(container_request "$pod" "$change")"
	done
	refuses NotFound CreateContainer "$(container_request "$pod" '.config.image.image = "registry.k8s.io/never-pulled:1"')"
}

@test "[26] CreateContainer: in an unknown pod" {
	pod_file box >/dev/null
	refuses NotFound CreateContainer "$(container_request "$UNKNOWN" .)"
	refuses NotFound CreateContainer "$(container_request ../../etc .)"
	refuses InvalidArgument CreateContainer "$(container_request "" .)"
	run create_container "$UNKNOWN" box lost
	like "$output" "code = NotFound "
	nothing_made
}

@test "[26] CreateContainer: in a stopped pod" {
	local pod
	pod=$(run_pod box)
	crictl stopp "$pod" >/dev/null
	remember
	refuses FailedPrecondition CreateContainer "$(container_request "$pod" .)"
	run create_container "$pod" box late
	like "$output" "code = FailedPrecondition "
	nothing_made
}

@test "[27] StartContainer: twice, and after the exit" {
	local pod container
	pod=$(run_pod box)
	container=$(run_container "$pod" box once)
	remember
	refuses FailedPrecondition StartContainer "{\"container_id\": \"$container\"}"
	crictl_refuses FailedPrecondition start "$container"
	is "$(container_field "$container" .state)" CONTAINER_RUNNING
	crictl stop -t 5 "$container" >/dev/null
	remember
	refuses FailedPrecondition StartContainer "{\"container_id\": \"$container\"}"
	crictl_refuses FailedPrecondition start "$container"
	is "$(container_field "$container" .state)" CONTAINER_EXITED
}

# ---- any id ----

# The calls that take an id: METHOD, field, code for an unknown id.
id_calls() {
	cat <<-END
		PodSandboxStatus pod_sandbox_id NotFound
		StopPodSandbox pod_sandbox_id OK
		RemovePodSandbox pod_sandbox_id OK
		ContainerStatus container_id NotFound
		StartContainer container_id NotFound
		StopContainer container_id OK
		RemoveContainer container_id OK
		ReopenContainerLog container_id NotFound
		ExecSync container_id NotFound
	END
}

# id_request FIELD ID: the id may hold escapes of JSON.
id_request() {
	printf '{"%s": "%s"%s}' "$1" "$2" "${3:-}" >"$BATS_TEST_TMPDIR/id.json"
	printf '@%s\n' "$BATS_TEST_TMPDIR/id.json"
}

# each_id_call ID [CODE]: every such call with this id, answered with CODE or as for an unknown id.
each_id_call() {
	local method field code more
	while read -r method field code; do
		more=
		[ "$method" != ExecSync ] || more=', "cmd": ["true"]'
		code=${2:-$code}
		if [ "$code" = OK ]; then
			is "$(rpc_code "$method" "$(id_request "$field" "$1" "$more")")" OK "$method"
		else
			refused "$code" "$method" "$(id_request "$field" "$1" "$more")"
		fi
	done < <(id_calls)
	nothing_made
}

@test "[28] an empty id" {
	only_crisp
	each_id_call "" InvalidArgument
}

@test "[28] an unknown id; stop and remove count it as done" { each_id_call "$UNKNOWN"; }

@test "[28] an id that would be a path" {
	run_pod box >/dev/null
	remember
	local id
	for id in .. ../pods / /etc/passwd ../../../../etc . "$UNKNOWN/.." '%2e%2e'; do
		each_id_call "$id"
	done
}

@test "[28] an id with a NUL byte" {
	only_crisp
	each_id_call '\u0000' InvalidArgument
	each_id_call "$UNKNOWN"'\u0000' InvalidArgument
}

@test "[28] an id of 64 KiB" { each_id_call "$(long 65536 a)"; }

@test "[28] an id with a newline, and one in the wrong case" {
	local pod
	pod=$(run_pod box)
	remember
	each_id_call "$pod\\n"
	each_id_call "${pod^^}"
	is "$(pod_field "$pod" .state)" SANDBOX_READY
}

@test "[28] an ambiguous prefix of container ids" {
	only_crisp
	local pod id digit i method
	pod=$(run_pod box)
	# By the seventeenth, two begin with the same digit.
	for i in {1..17}; do
		id=$(create_container "$pod" box "many-$i")
		digit=$(crictl ps -aq --no-trunc | cut -c1 | sort | uniq -d | head -n 1)
		[ -z "$digit" ] || break
	done
	remember
	for method in ContainerStatus StartContainer StopContainer RemoveContainer ReopenContainerLog; do
		refuses InvalidArgument "$method" "{\"container_id\": \"$digit\"}"
		like "$(rpc_text)" ambiguous
	done
	refuses InvalidArgument ExecSync "{\"container_id\": \"$digit\", \"cmd\": [\"true\"]}"
}

# ---- ExecSync ----

@test "[29] ExecSync: no command, bad timeouts, too many or too long arguments" {
	local pod container id timeout
	pod=$(run_pod box)
	container=$(run_container "$pod" box target)
	id="\"container_id\": \"$container\""
	remember
	refuses InvalidArgument ExecSync "{$id}"
	refuses InvalidArgument ExecSync "{$id, \"cmd\": [\"\"]}"
	for timeout in -1 9223372036854775807 -9223372036854775808; do
		refuses InvalidArgument ExecSync "{$id, \"cmd\": [\"touch\", \"/made\"], \"timeout\": \"$timeout\"}"
	done
	jq -n --arg id "$container" '{container_id: $id, cmd: (["touch", "/made"] + [range(200000) | "x"])}' >"$BATS_TEST_TMPDIR/args"
	refuses InvalidArgument ExecSync "@$BATS_TEST_TMPDIR/args"
	jq -n --arg id "$container" '{container_id: $id, cmd: ["touch", "/made", "x" * 200000]}' >"$BATS_TEST_TMPDIR/args"
	refuses InvalidArgument ExecSync "@$BATS_TEST_TMPDIR/args"
	refuses InvalidArgument ExecSync "{$id, \"cmd\": [\"touch\", \"/made\\u0000\"]}"
	run in_container "$container" ls /made
	[ "$status" -ne 0 ]
}

@test "ExecSync: in a container that is not running" {
	local pod container
	pod=$(run_pod box)
	container=$(create_container "$pod" box idle)
	remember
	refuses FailedPrecondition ExecSync "{\"container_id\": \"$container\", \"cmd\": [\"true\"]}"
	crictl_refuses FailedPrecondition exec -s "$container" true
}

# ---- PullImage ----

@test "[33] PullImage: references that are none" {
	local reference
	refuses InvalidArgument PullImage '{}'
	refuses InvalidArgument PullImage '{"image": {}}'
	for reference in "" UPPER/case registry.k8s.io/Upper:1 "$(long 10240 a)" busybox@sha256:abc \
		busybox@sha256:"$(long 64 g)" busybox@md5:"$(long 32 a)" 127.0.0.1:99999/x:1 127.0.0.1:x/y:1 a/../b a//b /a a/ a:b:c \
		'a b' 'a\nb' 'a\u0000b' a@ a: 'http://a.example/b' a:-tag a:"$(long 129 t)" ../../etc/passwd; do
		refuses InvalidArgument PullImage "$(printf '{"image": {"image": "%s"}}' "$reference")"
	done
	crictl_refuses InvalidArgument pull registry.k8s.io/Upper:1
}

@test "ImageStatus, RemoveImage: without a name" {
	only_crisp
	local method
	for method in ImageStatus RemoveImage; do
		refuses InvalidArgument "$method" '{}'
		refuses InvalidArgument "$method" '{"image": {"image": ""}}'
	done
}

# ---- gRPC ----

@test "[43] a message over the limit" {
	refuses ResourceExhausted RunPodSandbox "$(pod_request .)" -size $((17 << 20))
	refuses ResourceExhausted Version '{}' -size $((64 << 20))
}

@test "[43] an unknown method or service" {
	refuses Unimplemented /runtime.v1.RuntimeService/NoSuch ''
	refuses Unimplemented /runtime.v1.NoService/Version ''
	refuses Unimplemented /runtime.v1alpha2.RuntimeService/Version ''
	refuses Unimplemented /runtime.v1.RuntimeService/ ''
	refuses Unimplemented / ''
}

@test "[43] bytes that are no protobuf" {
	only_crisp
	local bytes
	# A cut varint, one too long, a length past the end, a wrong wire type, a group, field number 0, wire type 7.
	for bytes in 08 0a 0affffffffff7f 0a05 0801 0b0c 0200 0f "0a$(long 24 f)"; do
		refuses Internal RunPodSandbox '' -raw "$bytes"
	done
}

@test "[43] text that is not UTF-8 or holds NUL" {
	only_crisp
	# StopPodSandbox's field 1: an overlong slash, a lone surrogate, a bare continuation byte, a cut sequence.
	local bytes
	for bytes in 0a02c0af 0a03eda080 0a0180 0a02e282; do
		refuses Internal StopPodSandbox '' -raw "$bytes"
	done
	refuses InvalidArgument StopPodSandbox '' -raw 0a0100
	refuses InvalidArgument StopPodSandbox '' -raw 0a03610062
}

@test "[43] unknown fields are skipped, however deep; groups are refused" {
	only_crisp
	local bytes=0a00 i
	for i in {1..50}; do bytes=$(printf '0a%02x%s' $((${#bytes} / 2)) "$bytes"); done
	is "$(rpc_code Version '' -raw "fa7c$(printf '%02x' $((${#bytes} / 2)))$bytes")" OK
	refuses Internal Version '' -raw "$(long 2000 b | sed 's/b/fb7c/g')"
}

@test "[43] compressed messages: good, broken, cut short, in an unknown way, and a bomb" {
	only_crisp
	is "$(rpc_code Version '{"version": "v1"}' -gzip)" OK
	refuses Internal Version '{"version": "v1"}' -claim gzip
	refuses Internal Version '' -claim gzip -raw 1f8b08
	# Of an encoding that gRPC does not know it tells nobody; the bytes speak for themselves.
	refuses Internal Version '' -claim snappy -raw ff060000734e61507059
	refuses ResourceExhausted Version '{}' -gzip -size $((512 << 20))
}

@test "[43] a body that is no gRPC message" {
	only_crisp
	local version=/runtime.v1.RuntimeService/Version body pod flag
	is "$(rpc_code $version '' -body 0000000000)" OK
	# Cut within the prefix, cut within the message, nothing behind a length, a message without an end.
	for body in 00 00000000 00000000100a 0000000010 00ffffffff; do
		refuses Internal $version '' -body "$body"
	done
	# Said to be compressed, but not how.
	refuses Internal $version '' -body 01000000020aff
	# Flags that do not exist: gRPC sometimes takes such a message as an empty one, never as what it holds.
	pod=$(run_pod box)
	remember
	for flag in 02 ff; do
		like "$(rpc_code /runtime.v1.RuntimeService/StopPodSandbox '' -body "${flag}000000420a40$(printf %s "$pod" | od -An -v -tx1 | tr -d ' \n')")" \
			"^(Internal|InvalidArgument)$"
		is "$(tail -n 1 "$BATS_TEST_TMPDIR/rpc")" "connection: survived"
		is "$(pod_field "$pod" .state)" SANDBOX_READY
	done
	is "$(rpc_code /runtime.v1.RuntimeService/StopPodSandbox '' -body "00000000420a40$(printf %s "$pod" | od -An -v -tx1 | tr -d ' \n')")" OK
	is "$(pod_field "$pod" .state)" SANDBOX_NOTREADY
}

@test "nothing is left behind" { census_is_clean; }
