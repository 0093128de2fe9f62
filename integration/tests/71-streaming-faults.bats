# Streaming when something goes wrong: a server that is killed, clients that dribble, flood, do not read, or vanish by the
# hundreds. CRISP_SESSIONS=10000 for the full form of the last.

bats_require_minimum_version 1.5.0
load ../lib/helper
load ../lib/streaming

setup_file() { suite_start; }
teardown_file() { suite_end; }
setup() {
	[[ $BATS_TEST_DESCRIPTION == nothing* ]] && return
	only_crisp
	POD=$(run_pod here)
}
teardown() { streaming_teardown; }

server_rss() { # KiB
	awk '/^VmRSS/ { print $2 }' "/proc/$(server_pid)/status"
}

server_fds() {
	find "/proc/$(server_pid)/fd" -mindepth 1 | wc -l
}

server_threads() {
	awk '/^Threads/ { print $2 }' "/proc/$(server_pid)/status"
}

# connect URL: descriptor 8 is a connection to its server, and PATH_OF its path.
connect() {
	local rest=${1#http://}
	PATH_OF=/${rest#*/}
	exec 8<>"/dev/tcp/127.0.0.1/$(sed -E 's|.*:([0-9]+)/.*|\1|' <<<"$rest")"
}

upgrade() {
	printf 'GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n' \
		"$PATH_OF" >&8
}

@test "exec: what runs for clients when the server is killed is gone after its restart; the container is not disturbed" {
	local id
	id=$(launch work)
	"$(crictl_path)" exec "$id" sh -c 'sleep 889 & sleep 889; :' >/dev/null 2>&1 3>&- &
	CLIENTS+=($!)
	"$(crictl_path)" exec -s "$id" sleep 891 >/dev/null 2>&1 3>&- &
	CLIENTS+=($!)
	within 10 runs_inside "$id" "sleep 889" 2
	within 10 runs_inside "$id" "sleep 891" 1
	stop_server KILL
	start_server
	within 20 runs_inside "$id" "sleep 889" 0
	within 20 runs_inside "$id" "sleep 891" 0
	is "$(container_field "$id" .state)" CONTAINER_RUNNING
	is "$(crictl exec "$id" echo hello)" hello
}

@test "[32] slowloris: a hundred requests that never end do not keep others out" {
	local id url fds=() fd i
	id=$(launch work)
	url=$(exec_url)
	connect "$url"
	for i in {1..100}; do
		exec {fd}<>"/dev/tcp/127.0.0.1/$(sed -E 's|.*:([0-9]+)/.*|\1|' <<<"$url")"
		printf 'GET %s HTTP/1.1\r\nX-Slow: a' "$PATH_OF" >&"$fd"
		fds+=("$fd")
	done
	is "$(crictl exec "$id" echo hello)" hello
	for fd in "${fds[@]}"; do exec {fd}>&-; done
	exec 8>&-
	is "$(crictl exec "$id" echo hello)" hello
}

size_seen() {
	in_container "$1" test -e /tmp/seen
}

@test "[32] exec: a flood of sizes; the last one holds and memory does not grow" {
	local id before
	id=$(launch work)
	connect "$(exec_url '.tty = true | .cmd = ["sh", "-c", "until [ \"$(stty size)\" = \"77 99\" ]; do sleep 0.1; done; touch /tmp/seen; sleep 100"]')"
	upgrade
	before=$(server_rss)
	# Frames with a mask of zeros: 31 bytes each, {"Width":80,"Height":24} on channel 4; then another size.
	printf '\x82\x99\0\0\0\0\x04{"Width":80,"Height":24}' >"$BATS_TEST_TMPDIR/size"
	for _ in {1..17}; do cat "$BATS_TEST_TMPDIR/size" "$BATS_TEST_TMPDIR/size" >"$BATS_TEST_TMPDIR/sizes"; mv "$BATS_TEST_TMPDIR/sizes" "$BATS_TEST_TMPDIR/size"; done
	cat "$BATS_TEST_TMPDIR/size" >&8
	printf '\x82\x99\0\0\0\0\x04{"Width":99,"Height":77}' >&8
	within 20 size_seen "$id"
	[ "$(server_rss)" -lt $((before + 20000)) ]
	exec 8>&-
}

@test "[fault 43] port-forward: a client that does not read, and a pod that does not, hold up nobody and cost little" {
	local id before
	id=$(launch loud '.command = ["sh", "-c", "nc -l -p 7901 -e yes & nc -l -p 7902 -e sleep 1000 & while :; do date; sleep 0.1; done"]')
	within 20 listeners "$id" 2
	before=$(server_rss)
	forward "$POD" 18401:7901 18402:7902
	exec 8<>/dev/tcp/127.0.0.1/18401
	"$(crictl_path)" port-forward "$POD" 18403:7902 >/dev/null 2>&1 3>&- &
	CLIENTS+=($!)
	exec 9<>/dev/tcp/127.0.0.1/18402
	timeout 3 cat /dev/zero >&9 || true
	is "$(crictl exec "$id" echo hello)" hello
	[ "$(server_rss)" -lt $((before + 30000)) ]
	before=$(stat -c %s "$(container_field "$id" .logPath)")
	within 10 eval "[ \"\$(stat -c %s '$(container_field "$id" .logPath)')\" -gt $before ]"
	exec 8>&- 9>&-
}

@test "port-forward: a listener on ::1 only is found after 127.0.0.1 has refused" {
	local id
	cat >"$BATS_TEST_TMPDIR/nginx.conf" <<-END
		daemon off;
		user root;
		pid /tmp/nginx.pid;
		error_log /dev/stderr;
		events { }
		http { access_log off; server { listen [::1]:7903; root /www; } }
	END
	id=$(launch v6 ".image = {image: \"$NGINX\"} | .command = [] | .mounts = [{host_path: \"$BATS_TEST_TMPDIR/nginx.conf\", container_path: \"/etc/nginx/nginx.conf\"}]")
	forward "$POD" 18404:7903
	within 10 eval '[ "$(http http://127.0.0.1:18404/)" = 200 ]' || { crictl logs "$id"; cat "$BATS_TEST_TMPDIR/forward"; return 1; }
}

# Whether the server has ended the connection on descriptor 8.
is_closed() {
	local status=0
	timeout 1 cat <&8 >/dev/null 2>&1 || status=$?
	[ "$status" != 124 ]
}

@test "[32] WebSocket frames without a mask, out of order, longer than may be: closed, and the command with them" {
	local id frame
	id=$(launch work)
	for frame in '\x82\x03\0ab' '\x80\x81\0\0\0\0a' '\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0'; do
		connect "$(exec_url '.cmd = ["sleep", "893"]')"
		upgrade
		within 10 runs_inside "$id" "sleep 893" 1
		# shellcheck disable=SC2059
		printf "$frame" >&8
		within 20 is_closed
		within 10 runs_inside "$id" "sleep 893" 0
		exec 8>&-
	done
}

@test "[CVE-2018-1002105 CVE-2020-8559] an upgrade that is refused is answered by no redirect, and what comes behind it by nothing" {
	local url id
	id=$(launch work)
	url=$(exec_url)
	connect "${url%?}x"
	(
		exec 8>"$BATS_TEST_TMPDIR/twice"
		upgrade
		upgrade
	)
	cat "$BATS_TEST_TMPDIR/twice" >&8
	{ timeout 30 cat <&8 || true; } | tr -d '\r' >"$BATS_TEST_TMPDIR/answer"
	exec 8>&-
	is "$(head -n 1 "$BATS_TEST_TMPDIR/answer")" "HTTP/1.1 404 Not Found"
	is "$(grep -c '^HTTP' "$BATS_TEST_TMPDIR/answer")" 1
	is "$(grep -ciE '^(location|upgrade):' "$BATS_TEST_TMPDIR/answer")" 0
}

# urls COUNT METHOD JSON: in $BATS_TEST_TMPDIR/urls.
urls() {
	crirpc -e "$SERVER_SOCKET" -n "$1" "$2" "$3" | sed -n 's/^OK //p' | jq -r .url >"$BATS_TEST_TMPDIR/urls"
	is "$(wc -l <"$BATS_TEST_TMPDIR/urls")" "$1"
}

@test "[CVE-2022-23471] exec on a terminal of a command that is not there, with sizes: fifty cost nothing that stays" {
	local id url fds threads round
	id=$(launch work)
	for round in first second; do # what is made once has been made after the first
		[ $round = first ] || fds=$(server_fds) threads=$(server_threads)
		urls 25 Exec "{\"container_id\": \"$id\", \"cmd\": [\"no-such-command\"], \"tty\": true, \"stdin\": true, \"stdout\": true}"
		while read -r url; do
			connect "$url"
			upgrade
			printf '\x82\x99\0\0\0\0\x04{"Width":80,"Height":24}' >&8
			timeout 30 cat <&8 >"$BATS_TEST_TMPDIR/said" || true
			grep -aq no-such-command "$BATS_TEST_TMPDIR/said"
			exec 8>&-
		done <"$BATS_TEST_TMPDIR/urls"
		[ $round = first ] || within 60 quiet $((fds + 4)) $((threads + 4))
	done
	is "$(find /run/crisp -name 'exec-*' | wc -l)" 0
}

# Descriptors of the container's monitor.
monitor_fds() { # ID
	find "/proc/$(pgrep -f "conmon .*$1")/fd" -mindepth 1 | wc -l
}

monitor_is_quiet() { # ID FDS
	[ "$(monitor_fds "$1")" -le "$2" ]
}

@test "[CVE-2025-64329] attach to a container that says nothing, and leave: fifty cost neither the server nor the monitor" {
	local id url fds threads monitor
	id=$(launch silent '.stdin = true | .command = ["sh", "-c", "until [ -e /tmp/speak ]; do sleep 0.1; done; yes"]')
	monitor=$(monitor_fds "$id")
	fds=$(server_fds) threads=$(server_threads)
	urls 50 Attach "{\"container_id\": \"$id\", \"stdin\": true, \"stdout\": true, \"stderr\": true}"
	while read -r url; do
		connect "$url"
		upgrade
		# The session has begun when it has been answered.
		like "$(head -n 1 <&8)" '^HTTP/1.1 101'
		exec 8>&-
	done <"$BATS_TEST_TMPDIR/urls"
	within 60 quiet $((fds + 10)) $((threads + 10))
	# conmon closes its end of a connection whose client has left with the container's next words.
	in_container "$id" touch /tmp/speak
	within 60 monitor_is_quiet "$id" "$((monitor + 2))"
	is "$(container_field "$id" .state)" CONTAINER_RUNNING
}

# Sessions that begin and whose clients vanish at once.
open_and_drop() { # COUNT
	local url
	crirpc -e "$SERVER_SOCKET" -n "$1" Exec "{\"container_id\": \"$id\", \"cmd\": [\"sleep\", \"999\"], \"stdout\": true}" |
		sed -n 's/^OK //p' | jq -r .url >"$BATS_TEST_TMPDIR/urls"
	is "$(wc -l <"$BATS_TEST_TMPDIR/urls")" "$1"
	while read -r url; do
		connect "$url"
		upgrade
		exec 8>&-
	done <"$BATS_TEST_TMPDIR/urls"
}

quiet() { # FDS THREADS
	[ "$(server_fds)" -le "$1" ] && [ "$(server_threads)" -le "$2" ]
}

@test "[fault 43] ${CRISP_SESSIONS:-500} sessions opened and dropped: descriptors, threads, memory and processes are as before" {
	local id fds threads rss count=0
	id=$(launch work)
	open_and_drop 100 # what is made once has been made after these
	within 60 runs_inside "$id" "sleep 999" 0
	within 60 quiet 1000 20
	fds=$(server_fds) threads=$(server_threads) rss=$(server_rss)
	while [ "$count" -lt "${CRISP_SESSIONS:-500}" ]; do
		open_and_drop 250
		within 60 quiet $((fds + 4)) $((threads + 4))
		count=$((count + 250))
	done
	within 30 runs_inside "$id" "sleep 999" 0
	# Freed memory goes back to the system every half minute.
	[ -z "${CRISP_SESSIONS:-}" ] || sleep 65
	printf '# %s sessions: fds %s -> %s, threads %s -> %s, RSS %s -> %s KiB\n' "$count" "$fds" "$(server_fds)" "$threads" \
		"$(server_threads)" "$rss" "$(server_rss)" >&3
	rss_is_back() { [ "$(server_rss)" -lt $((rss + 6000)) ]; }
	within 90 rss_is_back
	is "$(crictl exec "$id" echo hello)" hello
}

@test "nothing is left behind" { census_is_clean; }
