# The machine's clock is set back, forth and to 1970 while crispd works. Only on a node of its own (integration/node): a clock cannot be had
# in a namespace. Times are taken from /proc/uptime; `within` goes by the clock, so nothing jumps during it.

load ../lib/helper

if [ -e /etc/crisp-node ]; then OWN_CLOCK=yes; else OWN_CLOCK=no; fi
HOUR=3600
DAY=86400

setup_file() {
	[ "$OWN_CLOCK" = yes ] || return 0
	suite_start
	printf '%s\n' "$(($(date +%s) - $(uptime_ms) / 1000))" >"$BATS_FILE_TMPDIR/boot"
}
teardown_file() { [ "$OWN_CLOCK" != yes ] || suite_end; }
setup() { [ "$OWN_CLOCK" = yes ] || skip "the clock of this machine is not the tests' to set"; }
teardown() {
	[ "$OWN_CLOCK" = yes ] || return 0
	right_clock
	crictl version >/dev/null 2>&1 || start_server
	after_test
}

uptime_ms() {
	awk '{ printf "%d\n", $1 * 1000 }' /proc/uptime
}

right_clock() {
	date -s "@$(($(cat "$BATS_FILE_TMPDIR/boot") + $(uptime_ms) / 1000))" >/dev/null
}

# jump SECONDS | 1970
jump() {
	if [ "$1" = 1970 ]; then date -s @1000 >/dev/null; else date -s "@$(($(date +%s) + $1))" >/dev/null; fi
}

# in_order CONTAINER: created, started and finished in this order, whatever the clock said then.
in_order() {
	local times
	times=$(container_field "$1" '[.createdAt, .startedAt, .finishedAt] | map(tonumber) | "\(.[0]) \(.[1]) \(.[2]) \(.[1] <= .[2])"')
	like "$times" '^[1-9][0-9]* [1-9][0-9]* [1-9][0-9]* true$' "created, started, finished, in order"
}

@test "[39] StopContainer gives a process its time, no more and no less, while the clock jumps" {
	local pod container by began took
	pod=$(run_pod stopped)
	for by in -$HOUR $DAY 1970; do
		container=$(run_container "$pod" stopped "stubborn$by" '.command = ["sh", "-c", "trap : TERM; while :; do sleep 0.2; done"]')
		sleep 1
		began=$(uptime_ms)
		crictl stop -t 5 "$container" >/dev/null &
		sleep 2
		jump "$by"
		wait $!
		took=$(($(uptime_ms) - began))
		[ "$took" -ge 5000 ] && [ "$took" -lt 20000 ] || { printf 'by %s: %s ms\n' "$by" "$took"; return 1; }
		is "$(container_field "$container" .exitCode)" 137
		in_order "$container"
		right_clock
	done
}

@test "[39] a timeout of ExecSync is as long as it is, while the clock jumps" {
	local container by began took
	container=$(run_container "$(run_pod execs)" execs one)
	for by in -$HOUR $DAY 1970; do
		began=$(uptime_ms)
		crirpc -e "$SERVER_SOCKET" ExecSync "{\"container_id\": \"$container\", \"cmd\": [\"sleep\", \"100\"], \"timeout\": 5}" \
			>"$BATS_TEST_TMPDIR/exec" &
		sleep 2
		jump "$by"
		wait $! || true
		took=$(($(uptime_ms) - began))
		like "$(cat "$BATS_TEST_TMPDIR/exec")" '^DeadlineExceeded'
		[ "$took" -ge 5000 ] && [ "$took" -lt 20000 ] || { printf 'by %s: %s ms\n' "$by" "$took"; return 1; }
		is "$(in_container "$container" echo alive)" alive
		right_clock
	done
}

@test "[39] pods live, end and are counted in whatever year it is; a restart then knows them all" {
	local pod container ended later by pid
	pod=$(run_pod times)
	container=$(run_container "$pod" times stays)
	for by in -$HOUR $DAY 1970; do
		ended=$(run_container "$pod" times "ends$by")
		later=$(run_container "$pod" times "later$by")
		jump "$by"
		crictl stop "$ended" >/dev/null
		in_order "$ended"
		pid=$(crictl inspect "$later" | jq -r .info.pid)
		stop_server KILL
		kill -KILL "$pid"
		start_server
		within 10 has_exited "$later"
		in_order "$later"
		is "$(container_field "$container" .state)" CONTAINER_RUNNING
		is "$(in_container "$container" echo alive)" alive
		crictl stats -o json "$container" | jq -e '.stats[0].cpu.usageCoreNanoSeconds.value | tonumber > 0' >/dev/null
		run_container "$pod" times "new$by" >/dev/null
		right_clock
	done
	is "$(pod_field "$pod" .state)" SANDBOX_READY
}

@test "nothing is left behind" { census_is_clean; }
