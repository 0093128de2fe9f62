# Exec, attach and port-forward with the real crictl, by SPDY and by WebSocket: bytes both ways, terminals, exit codes,
# clients that vanish or do not read, URLs that are wrong, used or too many.

bats_require_minimum_version 1.5.0
load ../lib/helper
load ../lib/streaming

setup_file() { suite_start; }
teardown_file() { suite_end; }
setup() { [[ $BATS_TEST_DESCRIPTION == nothing* ]] || POD=$(run_pod here); }
teardown() { streaming_teardown; }

# on_terminal COMMAND...: runs it on a pseudo-terminal that reads from FIFO $BATS_TEST_TMPDIR/keys (descriptor 7) and
# shows in $BATS_TEST_TMPDIR/screen. Its size is changed by change_size.
on_terminal() {
	mkfifo "$BATS_TEST_TMPDIR/keys"
	script -qefc "stty cols 100 rows 30; tty >$BATS_TEST_TMPDIR/tty; exec $*" /dev/null \
		<"$BATS_TEST_TMPDIR/keys" >"$BATS_TEST_TMPDIR/screen" 2>&1 3>&- 4>&- &
	TERMINAL=$!
	CLIENTS+=("$TERMINAL")
	exec 7>"$BATS_TEST_TMPDIR/keys"
}

type_keys() {
	printf '%s\n' "$1" >&7
}

shows() {
	grep -q "$1" "$BATS_TEST_TMPDIR/screen"
}

# change_size COLUMNS ROWS: and asks for it. crictl loses a change that comes right behind another, so one is made each time.
change_size() {
	local tty
	tty=$(cat "$BATS_TEST_TMPDIR/tty")
	stty -F "$tty" cols "$1"
	stty -F "$tty" rows "$(($2 + 1))"
	sleep 0.2
	stty -F "$tty" rows "$2"
	sleep 0.2
	type_keys 'stty size'
	shows "^$2 $1"
}

# ---- exec ----

@test "exec: output, errors and exit codes, by SPDY and WebSocket" {
	local id transport
	id=$(launch work)
	for transport in spdy websocket; do
		is "$(crictl exec -r $transport "$id" echo hello)" hello
		run --separate-stderr crictl exec -r $transport "$id" sh -c 'echo out; echo oops >&2; exit 7'
		is "$status" 1
		is "$output" out
		like "$stderr" "oops"
		like "$stderr" "terminated with exit code 7"
		run crictl exec -r $transport "$id" sh -c 'kill -9 $$'
		like "$output" "exit code 137"
		run crictl exec -r $transport "$id" no-such-command
		is "$status" 1
		like "$output" "no-such-command"
	done
}

@test "exec: 100 MiB into a command and back" {
	local id file want
	id=$(launch work)
	file=$(random_file 100)
	want=$(digest <"$file")
	is "$(crictl exec -r spdy -i "$id" sha256sum <"$file" | cut -d ' ' -f 1)" "$want"
	is "$(crictl exec -r websocket -i "$id" sha256sum <"$file" | cut -d ' ' -f 1)" "$want"
	is "$(crictl exec -r spdy -i "$id" cat <"$file" | digest)" "$want"
	is "$(crictl exec -r websocket -i "$id" cat <"$file" | digest)" "$want"
}

@test "exec: a command that leaves a child behind does not hold the client" {
	local id from
	id=$(launch work)
	from=$SECONDS
	is "$(crictl exec "$id" sh -c 'sleep 777 & echo done')" "done"
	[ $((SECONDS - from)) -lt $((60 * CRISP_SLOW)) ]
	is "$(count_inside "$id" "sleep 777")" 1
}

@test "exec on a terminal: size, a change of size, exit code" {
	local id transport
	id=$(launch work)
	for transport in spdy websocket; do
		rm -f "$BATS_TEST_TMPDIR/keys"
		on_terminal "$(crictl_path)" exec -r $transport -it "$id" sh
		within 10 shows '/ #'
		type_keys 'stty size'
		within 10 shows '^30 100'
		within 20 change_size 120 40
		type_keys 'tty; exit 3'
		within 10 shows '^/dev/pts/'
		within 10 shows 'exit code 3'
		exec 7>&-
	done
}

@test "exec: when the client is killed, its command and the command's children are" {
	local id transport
	id=$(launch work)
	for transport in spdy websocket; do
		"$(crictl_path)" exec -r $transport "$id" sh -c 'sleep 888 & sleep 888; :' >/dev/null 2>&1 3>&- &
		CLIENTS+=($!)
		within 10 runs_inside "$id" "sleep 888" 2
		kill -KILL "$!"
		within 10 runs_inside "$id" "sleep 888" 0
	done
}

@test "[fault 43] exec: a client that does not read holds up nobody and is gone when it is killed" {
	local id
	id=$(launch work)
	"$(crictl_path)" exec "$id" sh -c 'exec yes deaf' 3>&- | sleep 1000 3>&- &
	CLIENTS+=($!)
	within 10 runs_inside "$id" "yes deaf" 1
	is "$(crictl exec "$id" echo hello)" hello
	[ "$(awk '/^VmRSS/ { print $2 }' "/proc/$(server_pid)/status")" -lt 100000 ]
	kill -KILL "$!"
	within 10 runs_inside "$id" "yes deaf" 0
}

# ---- what is refused ----

@test "[31] requests that make no sense, and containers and pods that are not there" {
	only_crisp
	local id gone
	id=$(launch work)
	gone=$(launch gone '.command = ["true"]')
	within 10 has_exited "$gone"
	refused InvalidArgument Exec "{\"container_id\": \"$id\", \"cmd\": [\"true\"], \"tty\": true, \"stdout\": true, \"stderr\": true}"
	refused InvalidArgument Exec "{\"container_id\": \"$id\", \"cmd\": [\"true\"]}"
	refused InvalidArgument Exec "{\"container_id\": \"$id\", \"stdout\": true}"
	refused InvalidArgument Exec '{"cmd": ["true"], "stdout": true}'
	refused NotFound Exec '{"container_id": "0123456789abcdef", "cmd": ["true"], "stdout": true}'
	refused FailedPrecondition Exec "{\"container_id\": \"$gone\", \"cmd\": [\"true\"], \"stdout\": true}"
	refused InvalidArgument Attach "{\"container_id\": \"$id\"}"
	refused InvalidArgument Attach "{\"container_id\": \"$id\", \"tty\": true, \"stdout\": true, \"stderr\": true}"
	refused FailedPrecondition Attach "{\"container_id\": \"$gone\", \"stdout\": true}"
	refused InvalidArgument PortForward "{\"pod_sandbox_id\": \"$POD\", \"port\": [0]}"
	refused InvalidArgument PortForward "{\"pod_sandbox_id\": \"$POD\", \"port\": [70000]}"
	refused NotFound PortForward '{"pod_sandbox_id": "0123456789abcdef"}'
	crictl stopp "$POD" >/dev/null
	refused FailedPrecondition PortForward "{\"pod_sandbox_id\": \"$POD\"}"
}

@test "[32] URLs are good once; wrong ones and wrong requests are told" {
	only_crisp
	local id url
	id=$(launch work)
	url=$(exec_url)
	like "$url" '^http://127\.0\.0\.1:[0-9]+/exec/[0-9a-f]{32}$'
	is "$(http "${url%?}x" "${WEBSOCKET[@]}")" 404
	is "$(http "${url/exec/attach}" "${WEBSOCKET[@]}")" 404
	is "$(http "$url")" 400
	is "$(http "$url" -X PUT)" 405
	is "$(http "$url" "${WEBSOCKET[@]/v5.channel/v9.channel}")" 403
	is "$(http "$url" -H "X-Long: $(head -c 65536 /dev/zero | tr '\0' a)")" 431
	is "$(http "$url" -m 1 "${WEBSOCKET[@]}")" 101
	is "$(http "$url" -m 1 "${WEBSOCKET[@]}")" 404
	is "$(crictl exec "$id" echo hello)" hello
}

@test "[32] no more than a thousand requests wait" {
	only_crisp
	local id
	id=$(launch work)
	crirpc -e "$SERVER_SOCKET" -n 1010 Exec "{\"container_id\": \"$id\", \"cmd\": [\"true\"], \"stdout\": true}" >"$BATS_TEST_TMPDIR/many"
	is "$(grep -c '^OK ' "$BATS_TEST_TMPDIR/many")" 1000
	is "$(grep -c '^ResourceExhausted' "$BATS_TEST_TMPDIR/many")" 10
	# They are forgotten with the server; whoever comes next should not wait a minute for room.
	stop_server
	start_server
	is "$(crictl exec "$id" echo hello)" hello
}

# ---- attach ----

@test "attach: input, output, and stdin_once" {
	local id transport
	for transport in spdy websocket; do
		id=$(launch "once-$transport" '.command = ["sh", "-c", "cat; echo over"] | .stdin = true | .stdin_once = true')
		is "$(printf 'line\n' | crictl attach -r $transport -i "$id")" $'line\nover'
		within 10 has_exited "$id"
		is "$(container_field "$id" .exitCode)" 0
		is "$(crictl logs "$id")" $'line\nover'
	done
}

@test "attach: who leaves does no harm, and the next one finds stdin open" {
	local id
	id=$(launch lasting '.command = ["sh", "-c", "while read -r line; do echo got $line; done; echo over"] | .stdin = true')
	for line in one two; do
		printf '%s\n' "$line" | timeout -s KILL 2 "$(crictl_path)" attach -i "$id" >/dev/null 2>&1 || true
	done
	within 10 eval "crictl logs '$id' | grep -qx 'got two'"
	is "$(crictl logs "$id")" $'got one\ngot two'
	is "$(container_field "$id" .state)" CONTAINER_RUNNING
}

@test "attach to a terminal: its size is the client's" {
	local id
	id=$(launch terminal '.command = ["sh"] | .tty = true | .stdin = true')
	on_terminal "$(crictl_path)" attach -it "$id"
	within 10 eval "type_keys 'stty size'; shows '^30 100'"
	within 20 change_size 120 40
	exec 7>&-
}

@test "[fault 43] attach: a client that does not read holds up neither the container nor its log" {
	local id log from
	id=$(launch loud '.command = ["sh", "-c", "while :; do head -c 100000 /dev/zero | tr \"\\0\" a; echo; done"]')
	"$(crictl_path)" attach "$id" 3>&- | sleep 1000 3>&- &
	CLIENTS+=($!)
	log=$(container_field "$id" .logPath)
	sleep 2 # it has filled all that is between it and its client
	from=$(stat -c %s "$log")
	within 20 eval "[ \"\$(stat -c %s '$log')\" -gt $((from + 20000000)) ]"
	crictl stop -t 0 "$id" >/dev/null
}

# ---- port-forward ----

# busybox' nc serves one connection: a hundred of them do, each on a port of its own.
echo_servers='for i in $(seq 100); do while :; do nc -l -p $((7700 + i)) -e cat; done & done; wait'

@test "port-forward: 100 connections at once, 1 MiB each way" {
	local id file want i transport base=18000 ports
	id=$(launch echo ".command = [\"sh\", \"-c\", $(jq -Rs . <<<"$echo_servers")]")
	file=$(random_file 1)
	want=$(digest <"$file")
	for transport in spdy websocket; do
		within 20 listeners "$id" 100
		base=$((base + 100))
		ports=()
		for i in {1..100}; do ports+=("$((base + i)):$((7700 + i))"); done
		forward "$POD" "${ports[@]}" -r $transport
		for i in {1..100}; do there_and_back "$file" "$((base + i))" >"$BATS_TEST_TMPDIR/back.$i" 3>&- & done
		for i in {1..100}; do within 60 test -s "$BATS_TEST_TMPDIR/back.$i"; done
		is "$(cat "$BATS_TEST_TMPDIR"/back.* | sort | uniq -c | awk '{ print $1, $2 }')" "100 $want"
		rm "$BATS_TEST_TMPDIR"/back.*
		kill "$FORWARD"
	done
}

@test "port-forward: to a web server, on the host's network too, and to a port where nobody listens" {
	local id pod
	id=$(launch web ".image = {image: \"$NGINX\"} | .command = []")
	forward "$POD" 18200:80
	within 10 eval '[ "$(http http://127.0.0.1:18200/)" = 200 ]'
	kill "$FORWARD"
	forward "$POD" 18201:81
	is "$(http http://127.0.0.1:18201/)" 000
	within 10 grep -q 'Connection refused' "$BATS_TEST_TMPDIR/forward"
	pod=$(run_pod hostly '.linux.security_context.namespace_options.network = 2')
	forward "$pod" "18202:$CRISP_REGISTRY_PORT"
	within 10 eval '[ "$(http http://127.0.0.1:18202/v2/)" = 200 ]'
}

@test "port-forward ends with its pod" {
	only_crisp
	forward "$POD" 18300:80
	# The connection to crispd is made with the command, before any local client.
	crictl stopp "$POD" >/dev/null
	within 20 eval "! kill -0 $FORWARD 2>/dev/null"
}

@test "nothing is left behind" { census_is_clean; }
