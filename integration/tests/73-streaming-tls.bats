# Streaming by https: the same sessions, certificates that are replaced while they go on, clients with certificates, and files
# that are no good.

bats_require_minimum_version 1.5.0
load ../lib/helper
load ../lib/streaming

setup_file() {
	[ "$CRISP_SERVER" = crispd ] || skip "a promise of crispd's"
	TLS=$WORK/tls
	mkdir -p "$TLS"
	export TLS
	make_certificate ca "the CA" -x509
	make_certificate server localhost
	make_certificate client kubelet
	tls_config
	suite_start
}
teardown_file() {
	suite_end
	rm -f "$WORK/crisp.toml.d/tls.toml"
}
setup() { [[ $BATS_TEST_DESCRIPTION == nothing* ]] || POD=$(run_pod here); }
teardown() { streaming_teardown; }

# make_certificate NAME SUBJECT [-x509]: NAME.key and NAME.crt, of the CA unless it is one.
make_certificate() {
	if [ "${3:-}" = -x509 ]; then
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$2" -keyout "$TLS/$1.key" -out "$TLS/$1.crt"
	else
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$TLS/$1.key" -out "$TLS/$1.csr"
		printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >"$TLS/$1.ext"
		openssl x509 -req -in "$TLS/$1.csr" -CA "$TLS/ca.crt" -CAkey "$TLS/ca.key" -CAcreateserial -days 2 -extfile "$TLS/$1.ext" -out "$TLS/$1.crt"
	fi >"$TLS/openssl.log" 2>&1
}

# tls_config [LINE...]
tls_config() {
	mkdir -p "$WORK/crisp.toml.d"
	printf '%s\n' '[crisp.api]' 'stream_enable_tls = true' "stream_tls_cert = \"$TLS/server.crt\"" "stream_tls_key = \"$TLS/server.key\"" \
		"$@" >"$WORK/crisp.toml.d/tls.toml"
}

# Who the server says it is.
shown() {
	local url=$1
	openssl s_client -connect "$(sed -E 's|https://([^/]*)/.*|\1|' <<<"$url")" </dev/null 2>/dev/null | openssl x509 -noout -subject -nameopt RFC2253
}

logged() {
	grep -q "$1" "$SERVER_LOG"
}

@test "exec, attach and port-forward by https, over SPDY and WebSocket" {
	local id once file want transport port=18500
	id=$(launch work '.command = ["sh", "-c", "while :; do nc -l -p 7910 -e cat; done"]')
	like "$(exec_url)" '^https://127\.0\.0\.1:[0-9]+/exec/'
	file=$(random_file 20)
	want=$(digest <"$file")
	for transport in spdy websocket; do
		run --separate-stderr crictl exec -r $transport "$id" sh -c 'echo out; echo oops >&2; exit 7'
		is "$output" out
		like "$stderr" "exit code 7"
		is "$(crictl exec -r $transport -i "$id" sha256sum <"$file" | cut -d ' ' -f 1)" "$want"
		is "$(crictl exec -r $transport -i "$id" cat <"$file" | digest)" "$want"
		once=$(launch "once-$transport" '.command = ["sh", "-c", "cat; echo over"] | .stdin = true | .stdin_once = true')
		is "$(printf 'line\n' | crictl attach -r $transport -i "$once")" $'line\nover'
		port=$((port + 1))
		within 20 listeners "$id" 1
		forward "$POD" "$port:7910" -r $transport
		is "$(there_and_back "$file" "$port")" "$want"
		kill "$FORWARD"
	done
	is "$(crictl exec --tls-ca "$TLS/ca.crt" --tls-cert "$TLS/client.crt" --tls-key "$TLS/client.key" "$id" echo verified)" verified
}

@test "exec by https: when the client is killed, its command is" {
	local id transport
	id=$(launch work)
	for transport in spdy websocket; do
		"$(crictl_path)" exec -r $transport "$id" sleep 892 >/dev/null 2>&1 3>&- &
		CLIENTS+=($!)
		within 10 runs_inside "$id" "sleep 892" 1
		kill -KILL "$!"
		within 10 runs_inside "$id" "sleep 892" 0
	done
}

@test "a certificate that is replaced is shown to the next client; sessions go on, and files that are no good are not taken" {
	local id out=$BATS_TEST_TMPDIR/out
	id=$(launch work)
	mkfifo "$BATS_TEST_TMPDIR/in"
	"$(crictl_path)" exec -i "$id" cat <"$BATS_TEST_TMPDIR/in" >"$out" 2>&1 3>&- &
	CLIENTS+=($!)
	exec 7>"$BATS_TEST_TMPDIR/in"
	printf 'before\n' >&7
	within 10 grep -qx before "$out"
	is "$(shown "$(exec_url)")" "subject=CN=localhost"
	make_certificate server renewed
	within 10 eval '[ "$(shown "$(exec_url)")" = "subject=CN=renewed" ]'
	printf 'after\n' >&7
	within 10 grep -qx after "$out"
	cp "$TLS/client.key" "$TLS/server.key"
	is "$(shown "$(exec_url)")" "subject=CN=renewed"
	within 10 logged 'changed files are not taken.*is not the key of'
	kill -HUP "$(server_pid)"
	within 10 logged 'reload: nothing changed: streaming: TLS key .*is not the key of'
	is "$(shown "$(exec_url)")" "subject=CN=renewed"
	make_certificate server localhost
	kill -HUP "$(server_pid)"
	within 10 eval '[ "$(shown "$(exec_url)")" = "subject=CN=localhost" ]'
	printf 'at last\n' >&7
	within 10 grep -qx 'at last' "$out"
	exec 7>&-
}

@test "only clients with a certificate of the client CA, and only TLS 1.3, once a reload says so" {
	local id url
	id=$(launch work)
	is "$(crictl exec "$id" echo hello)" hello
	tls_config "stream_tls_ca = \"$TLS/ca.crt\"" 'stream_tls_min_version = "VersionTLS13"'
	kill -HUP "$(server_pid)"
	within 10 logged 'reload: changed.*stream_tls_ca'
	run crictl exec "$id" echo hello
	is "$status" 1
	is "$(crictl exec --tls-ca "$TLS/ca.crt" --tls-cert "$TLS/client.crt" --tls-key "$TLS/client.key" "$id" echo hello)" hello
	url=$(exec_url)
	is "$(http "$url" -k --cert "$TLS/client.crt" --key "$TLS/client.key" --tls-max 1.2)" 000
	is "$(http "$url" -k --cert "$TLS/client.crt" --key "$TLS/client.key")" 400
	tls_config
	kill -HUP "$(server_pid)"
	within 10 eval '[ "$(crictl exec "$id" echo hello)" = hello ]'
}

@test "a start with a certificate that has expired, a missing key, or none named is refused with the file's name" {
	stop_server
	start_fails() {
		run timeout "$((10 * CRISP_SLOW))" "$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d"
		[ "$status" != 0 ] && [ "$status" != 124 ]
	}
	openssl x509 -req -in "$TLS/server.csr" -CA "$TLS/ca.crt" -CAkey "$TLS/ca.key" -days 0 -out "$TLS/old.crt" 2>/dev/null
	sleep 1.1
	tls_config "stream_tls_cert = \"$TLS/old.crt\"" && sed -i 3d "$WORK/crisp.toml.d/tls.toml"
	start_fails
	like "$output" "$TLS/old.crt: it has expired"
	tls_config "stream_tls_key = \"$TLS/none.key\"" && sed -i 4d "$WORK/crisp.toml.d/tls.toml"
	start_fails
	like "$output" "$TLS/none.key: No such file"
	printf '[crisp.api]\nstream_enable_tls = true\n' >"$WORK/crisp.toml.d/tls.toml"
	start_fails
	like "$output" 'tls.toml:2: crisp.api.stream_enable_tls: stream_tls_cert is not set'
	tls_config
	start_server
}

@test "nothing is left behind" { census_is_clean; }
