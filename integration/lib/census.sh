# The leak census: everything a run can leave behind, as sorted lines of text. Taken before and after, the two must be equal.
# Sourced inside integration/enter, whose namespaces make "everything" small and ours alone.
# shellcheck shell=bash

# The processes that take the census, this subshell's descendants, are left out; so are the kernel's and udev's workers, which a whole
# machine has.
census_processes() {
	ps -e -o pid=,ppid=,comm= | awk -v self="$BASHPID" '
		{ parent[$1] = $2; name[$1] = $3 }
		END { for (pid in name) {
			ours = 0
			for (p = pid; p > 1; p = parent[p]) if (p == self) ours = 1
			# bats has a different number of shells of its own around each test
			if (!ours && parent[pid] != 2 && name[pid] !~ /^(bash|bats.*|\(udev-worker\))$/) print "process " name[pid]
		} }'
}

# Folders of a kernel's own making on a systemd host come and go with its services: only names of ours count there.
census_cgroups() {
	find /sys/fs/cgroup -mindepth 1 -type d | sed 's/^/cgroup /' |
		grep -vE '/(system|user)\.slice(/|$)|/init\.scope$|\.mount$|dev-[^/]*$|sys-[^/]*$|proc-[^/]*$' || true
}

census_network() {
	ip -o link | awk -F': ' '{ sub(/@.*/, "", $2); print "link " $2 }'
	ip -o netns list 2>/dev/null | awk '{ print "netns " $1 }' || true
	local table
	for table in filter nat mangle; do
		iptables -t "$table" -S 2>/dev/null | sed "s/^/iptables $table /" || true
	done
	nft list ruleset 2>/dev/null | grep -E '^(table|\s+chain)' | sed 's/^/nft /' || true
}

census_files() {
	local root
	awk '{ print "mount " $5 " " $4 }' /proc/self/mountinfo
	# The allocator's lock and last address stay by its own design, as do the pod CIDR that a client sent and crun's cache of
	# seccomp programs; what systemd
	# and udev keep is their business, units are seen by their cgroups.
	for root in /var/lib/cni "${CRISP_ROOT:-/var/lib/crisp}" /run /dev/shm; do
		find "$root" -mindepth 1 \( -path /run/systemd -o -path /run/udev -o -path /run/crisp/crun/.cache -o -name last_reserved_ip.\* -o -name lock -o -name xtables.lock \
			-o -name pod-cidr.json \) -prune -o -mindepth 1 -print 2>/dev/null | sed 's/^/file /' || true
	done
}

census() {
	local all
	# Sorted afterwards, or sort would be one of the processes.
	all=$(
		census_processes
		census_cgroups
		census_network
		census_files
	)
	LC_ALL=C sort <<<"$all"
}

# census_same BEFORE AFTER: prints what was left behind (+) and what was lost (-), and fails if there is anything.
census_same() {
	diff -U0 --label before --label after "$1" "$2" | grep -vE '^(---|\+\+\+|@@)' && return 1
	return 0
}
