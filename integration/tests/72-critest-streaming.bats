# critest's own streaming specs, over both transports: what kubelet's conformance asks of exec, attach and port-forward.

load ../lib/helper

# What the specs pull is there before, for the census.
setup_file() {
	suite_start
	crictl pull "$STAGING/hostnet-nginx-amd64" >/dev/null
	census_settled >"$BATS_FILE_TMPDIR/census"
}
teardown_file() { suite_end; }
teardown() { after_test; }

# streaming_specs [OPTION...]: none may fail, and there are at least five of them.
streaming_specs() {
	run timeout "$((240 * CRISP_SLOW))" critest -runtime-endpoint "unix://$SERVER_SOCKET" -image-endpoint "unix://$SERVER_SOCKET" \
		-ginkgo.focus Streaming -ginkgo.no-color "$@"
	[ "$status" = 0 ] || { printf '%s\n' "$output"; return 1; }
	like "$output" '([5-9]|[1-9][0-9]+) Passed \| 0 Failed'
}

@test "critest: streaming over SPDY" {
	streaming_specs
}

@test "critest: streaming over WebSocket" {
	only_crisp
	streaming_specs -websocket-exec -websocket-attach -websocket-portforward
}

@test "nothing is left behind" { census_is_clean; }
