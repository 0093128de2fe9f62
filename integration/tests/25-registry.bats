# A registry that is not the fixtures' own: TLS with a private CA, HTTP/2, a password. What a node knows about it (certs.d,
# auth.json, credential helpers, policy.json) is read when it is needed: nothing here restarts or reloads the server.

load ../lib/helper

PRIVATE=127.0.0.1:5443
IMAGE=$PRIVATE/k8s-staging-cri-tools/test-image-latest:latest
CERTS=/etc/containers/certs.d/$PRIVATE
AUTH=/run/containers/0/auth.json

setup_file() {
	# Helpers are found in the server's PATH.
	mkdir -p "$BATS_FILE_TMPDIR/bin" "$CERTS" "${AUTH%/*}"
	export PATH=$BATS_FILE_TMPDIR/bin:$PATH
	start_private_registry
	suite_start
}

teardown_file() {
	suite_end
	kill "$(cat "$BATS_FILE_TMPDIR/registry.pid")"
}

setup() {
	cp "$BATS_FILE_TMPDIR/ca.crt" "$CERTS/"
}

teardown() {
	rpc_code RemoveImage "{\"image\": {\"image\": \"$IMAGE\"}}" >/dev/null
	rm -f "$CERTS"/* "$AUTH" /etc/containers/policy.json "$BATS_FILE_TMPDIR"/bin/docker-credential-node
	after_test
}

# The fixtures' images, served once more.
start_private_registry() {
	local dir=$BATS_FILE_TMPDIR program
	program=$("$CRISP_IT/images/registry")/usr/bin/docker-registry
	openssl req -x509 -newkey rsa:2048 -nodes -subj "/CN=private CA" -days 2 -keyout "$dir/ca.key" -out "$dir/ca.crt" 2>/dev/null
	openssl req -newkey rsa:2048 -nodes -subj "/CN=registry" -keyout "$dir/server.key" -out "$dir/server.csr" 2>/dev/null
	openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -days 2 -out "$dir/server.crt" \
		-extfile <(printf 'subjectAltName = IP:127.0.0.1\n') 2>/dev/null
	# "me" and "pw"
	# shellcheck disable=SC2016
	printf '%s\n' 'me:$2y$05$abcdefghijklmnopqrstuuHIrMEWpUCQe2YqFR3sXwQ75u4od..9q' >"$dir/htpasswd"
	cat >"$dir/registry.yml" <<-END
		version: 0.1
		log: {level: error, accesslog: {disabled: false}}
		storage: {filesystem: {rootdirectory: $CRISP_IMAGES}}
		auth: {htpasswd: {realm: private, path: $dir/htpasswd}}
		http: {addr: $PRIVATE, tls: {certificate: $dir/server.crt, key: $dir/server.key}}
	END
	OTEL_TRACES_EXPORTER=none detached "$dir/registry.log" "$program" serve "$dir/registry.yml"
	printf '%s\n' "$DETACHED" >"$dir/registry.pid"
	answers() { [ "$(curl -s -o /dev/null -w '%{http_code}' --cacert "$dir/ca.crt" "https://$PRIVATE/v2/")" = 401 ]; }
	within 30 answers
}

# pulls CODE [AUTH]: the pull's code; its text is rpc_text.
pulls() {
	is "$(rpc_code PullImage "{\"image\": {\"image\": \"$IMAGE\"}, \"auth\": ${2:-null}}")" "$1" "code of the pull"
}

@test "a private CA is trusted for its registry once certs.d has it" {
	only_crisp
	rm "$CERTS/ca.crt"
	pulls Unknown '{"username": "me", "password": "pw"}'
	like "$(rpc_text)" "^RegistryUnavailable: $PRIVATE: .*certificate"
	cp "$BATS_FILE_TMPDIR/ca.crt" "$CERTS/"
	pulls OK '{"username": "me", "password": "pw"}'
	like "$(tail -n 1 "$BATS_FILE_TMPDIR/registry.log")" 'HTTP/2.0'
}

@test "a broken certificate is named" {
	only_crisp
	printf 'nothing\n' >"$CERTS/broken.crt"
	pulls FailedPrecondition
	like "$(rpc_text)" "$CERTS/broken.crt: no certificate in it"
}

@test "without, and with wrong credentials: Unauthenticated, and no word of the secret" {
	only_crisp
	pulls Unauthenticated
	pulls Unauthenticated '{"username": "me", "password": "wr0ngsecret"}'
	run grep -c wr0ngsecret "$BATS_TEST_TMPDIR/rpc" "$SERVER_LOG"
	like "$output" "rpc:0"
	like "$output" "log:0"
}

@test "auth.json of the node: the longest prefix; the request's own credentials come first" {
	only_crisp
	printf '{"auths": {"%s": {"auth": "%s"}, "%s/k8s-staging-cri-tools": {"auth": "%s"}}}\n' \
		"$PRIVATE" "$(printf 'me:wrong' | base64)" "$PRIVATE" "$(printf 'me:pw' | base64)" >"$AUTH"
	pulls OK
	crictl rmi "$IMAGE" >/dev/null
	printf '{"auths": {"%s": {"auth": "%s"}}}\n' "$PRIVATE" "$(printf 'me:wrong' | base64)" >"$AUTH"
	pulls Unauthenticated
	pulls OK '{"username": "me", "password": "pw"}'
}

@test "a credential helper of the node" {
	only_crisp
	printf '{"credHelpers": {"%s": "node"}}\n' "$PRIVATE" >"$AUTH"
	pulls Unauthenticated
	like "$(rpc_text)" 'credential helper node'
	printf '#!/bin/sh\nread -r server\n[ "$1 $server" = "get %s" ] && echo %s\n' "$PRIVATE" \
		"'{\"Username\": \"me\", \"Secret\": \"pw\"}'" >"$BATS_FILE_TMPDIR/bin/docker-credential-node"
	chmod 755 "$BATS_FILE_TMPDIR/bin/docker-credential-node"
	pulls OK
}

@test "policy.json: what is rejected or wants a signature is SignatureValidationFailed" {
	only_crisp
	local accept='[{"type": "insecureAcceptAnything"}]'
	printf '{"default": %s, "transports": {"docker": {"%s": [{"type": "reject"}]}}}\n' "$accept" "$PRIVATE" \
		>/etc/containers/policy.json
	pulls Unknown '{"username": "me", "password": "pw"}'
	like "$(rpc_text)" '^SignatureValidationFailed: '
	run crictl pull --creds me:pw "$IMAGE"
	like "$output" 'pulling image: SignatureValidationFailed: '
	printf '{"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}]}\n' >/etc/containers/policy.json
	pulls Unknown '{"username": "me", "password": "pw"}'
	like "$(rpc_text)" "^SignatureValidationFailed: .*can't be verified yet"
	printf '{"default": [\n' >/etc/containers/policy.json
	pulls Unknown '{"username": "me", "password": "pw"}'
	printf '{"default": %s}\n' "$accept" >/etc/containers/policy.json
	pulls OK '{"username": "me", "password": "pw"}'
}

@test "nothing is left behind" { census_is_clean; }
