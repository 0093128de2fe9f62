# Images: pulled from a real registry through registries.conf, listed, looked up by every kind of name, removed.

load ../lib/helper

setup_file() { suite_start; }
teardown_file() { suite_end; }
teardown() {
	rm -f "$BATS_TEST_TMPDIR/racing" # of a test that failed
	after_test
	remove_pulled
}

# Whatever a test pulled, failed or not.
remove_pulled() {
	local id keep image
	for image in "$BUSYBOX" "$NGINX"; do
		crictl inspecti "$image" >/dev/null 2>&1 || crictl pull "$image" >/dev/null
	done
	keep=$(crictl inspecti -o json "$BUSYBOX" | jq -r .status.id)\|$(crictl inspecti -o json "$NGINX" | jq -r .status.id)
	[ "$CRISP_SERVER" = crispd ] || keep+="|$(crictl inspecti -o json registry.k8s.io/pause:3.10 | jq -r .status.id)"
	for id in $(crictl images -o json | jq -r '.images[].id' | grep -vE "$keep"); do
		crictl rmi "$id" >/dev/null
	done
}

image_field() {
	crirpc -e "$SERVER_SOCKET" ImageStatus "{\"image\": {\"image\": \"$1\"}}" | sed -n 3p | jq -r ".image | $2"
}

# A path of the image as a container sees it.
in_image() {
	local image=$1 pod container
	shift
	pod=$(run_pod look)
	container=$(run_container "$pod" look "look" ".image.image = \"$image\"")
	in_container "$container" "$@"
}

@test "crictl pull by tag; images lists tag, id and size" {
	run crictl pull "$STAGING/test-image-latest:latest"
	is "$status" 0
	like "$output" "sha256:[0-9a-f]{64}"
	run bash -c 'command crictl images -o json | jq -c ".images[] | select(.repoTags[0] | test(\"test-image-latest\"))"'
	is "$(jq -r '.repoTags | join(" ")' <<<"$output")" "$STAGING/test-image-latest:latest"
	like "$(jq -r .id <<<"$output")" "^sha256:[0-9a-f]{64}$"
	like "$(jq -r '.repoDigests[0]' <<<"$output")" "^$STAGING/test-image-latest@sha256:[0-9a-f]{64}$"
	[ "$(jq -r '.size | tonumber' <<<"$output")" -gt 100000 ]
}

@test "crictl inspecti shows the image and its configuration" {
	run crictl inspecti -o json "$BUSYBOX"
	is "$status" 0
	is "$(jq -r '.status.repoTags[0]' <<<"$output")" "$BUSYBOX"
	jq -e '.info' <<<"$output"
}

@test "a name without a tag means latest; docker.io names are spelled out" {
	crictl pull "$STAGING/test-image-1" >/dev/null
	is "$(image_field "$STAGING/test-image-1" '.repoTags | join(" ")')" "$STAGING/test-image-1:latest"
	crictl pull docker.io/crisp-oci:1 >/dev/null
	is "$(image_field docker.io/library/crisp-oci:1 '.repoTags | join(" ")')" docker.io/library/crisp-oci:1
}

@test "an image is found by id, id prefix, tag and digest, with one answer" {
	crictl pull "$STAGING/test-image-tag:all" >/dev/null
	local id digest whole
	whole=$(image_field "$STAGING/test-image-tag:all" .)
	id=$(jq -r .id <<<"$whole")
	digest=$(jq -r '.repoDigests[0]' <<<"$whole")
	is "$(image_field "$id" .)" "$whole" "by id"
	is "$(image_field "${id#sha256:}" .)" "$whole" "by bare id"
	is "$(image_field "${id:7:16}" .)" "$whole" "by prefix"
	is "$(image_field "$digest" .)" "$whole" "by digest"
}

@test "a pull by digest gives that digest and no tag" {
	local digest
	crictl pull "$STAGING/test-image-2:latest" >/dev/null
	digest=$(image_field "$STAGING/test-image-2:latest" '.repoDigests[0]')
	crictl rmi "$STAGING/test-image-2:latest" >/dev/null
	crictl pull "$digest" >/dev/null
	is "$(image_field "$digest" '.repoTags | length')" 0
	is "$(image_field "$digest" '.repoDigests | join(" ")')" "$digest"
}

@test "three tags of one image are one image; removing it by id removes all of them" {
	local tag id
	for tag in 1 2 3; do crictl pull "$STAGING/test-image-tags:$tag" >/dev/null; done
	id=$(image_field "$STAGING/test-image-tags:1" .id)
	is "$(image_field "$id" '.repoTags | length')" 3
	is "$(rpc_code RemoveImage "{\"image\": {\"image\": \"$id\"}}")" OK
	for tag in 1 2 3; do is "$(image_field "$STAGING/test-image-tags:$tag" .)" null "tag $tag"; done
	is "$(image_field "$id" .)" null
}

@test "one manifest under two registries is one image with both names" {
	only_crisp
	crictl pull registry.k8s.io/pause:3.9 >/dev/null
	crictl pull k8s.gcr.io/pause:3.9 >/dev/null
	is "$(image_field registry.k8s.io/pause:3.9 '.repoTags | sort | join(" ")')" "k8s.gcr.io/pause:3.9 registry.k8s.io/pause:3.9"
}

@test "the user of an image is a uid or a name, never both" {
	local kind want
	while read -r kind want; do
		crictl pull "$STAGING/test-image-user-$kind" >/dev/null
		is "$(image_field "$STAGING/test-image-user-$kind" '"\(.uid.value // "-"):\(.username)"')" "$want" "$kind"
	done <<-END
		uid 1002:
		username -:www-data
		uid-group 1003:
		username-group -:www-data
	END
}

@test "a multi-layer image (4 layers, 150 MB) is unpacked whole" {
	crictl pull crisp-layers:1 >/dev/null
	run in_image docker.io/library/crisp-layers:1 sh -c \
		'busybox ls /usr/lib/x86_64-linux-gnu/libicudata.so.72 /usr/lib/x86_64-linux-gnu/libLLVM-14.so.1 /bin/busybox &&
		busybox sha256sum </usr/lib/x86_64-linux-gnu/libLLVM-14.so.1; busybox find /usr/share/perl -type f | busybox wc -l'
	is "$status" 0
	like "$output" "libicudata.so.72"
	like "$output" "[0-9a-f]{64}"
	[ "${lines[-1]}" -gt 500 ]
}

@test "of an index the manifest for this platform is taken" {
	crictl pull crisp-index:1 >/dev/null
	is "$(in_image docker.io/library/crisp-index:1 cat /marker)" "$(dpkg --print-architecture)"
}

@test "set-uid bits survive unpacking" {
	crictl pull registry.k8s.io/e2e-test-images/nonewprivs:1.3 >/dev/null
	local pod container
	pod=$(run_pod nnp)
	container=$(run_container "$pod" nnp nnp '.image.image = "registry.k8s.io/e2e-test-images/nonewprivs:1.3" | del(.command)
		| .linux.security_context.run_as_user.value = 1000')
	within 20 has_exited "$container"
	is "$(crictl logs "$container")" "Effective uid: 0"
}

@test "rmi: gone from list and status; a second time it is no error" {
	crictl pull "$STAGING/test-image-3:latest" >/dev/null
	run crictl rmi "$STAGING/test-image-3:latest"
	is "$status" 0
	is "$(image_field "$STAGING/test-image-3:latest" .)" null
	unlike "$(crictl images)" test-image-3
	is "$(rpc_code RemoveImage "{\"image\": {\"image\": \"$STAGING/test-image-3:latest\"}}")" OK
	is "$(rpc_code RemoveImage '{"image": {"image": "0000000000000000000000000000000000000000000000000000000000000000"}}')" OK
}

@test "rmi by one tag of several removes the image with all its tags" {
	crictl pull "$STAGING/test-image-tags:1" >/dev/null
	crictl pull "$STAGING/test-image-tags:2" >/dev/null
	is "$(rpc_code RemoveImage "{\"image\": {\"image\": \"$STAGING/test-image-tags:1\"}}")" OK
	is "$(image_field "$STAGING/test-image-tags:1" .)" null
	is "$(image_field "$STAGING/test-image-tags:2" .)" null
}

@test "the image of a running container outlives rmi for that container" {
	crictl pull "$STAGING/test-image-tag:test" >/dev/null
	local pod container
	pod=$(run_pod keeper)
	container=$(run_container "$pod" keeper keeper ".image.image = \"$STAGING/test-image-tag:test\"")
	rpc_code RemoveImage "{\"image\": {\"image\": \"$STAGING/test-image-tag:test\"}}"
	is "$(in_container "$container" cat /marker)" "test"
}

# What the store consists of, by name, but for what is in its parts.
store_names() {
	(cd "$CRISP_ROOT" && find blobs layers images tmp quarantine -mindepth 1 -maxdepth 2 ! -path '*/diff' 2>/dev/null | sort)
}

store_is() { [ "$(store_names)" = "$1" ]; }

# store_settles NAMES: deletions run behind the answer.
store_settles() {
	within 20 store_is "$1" && return
	diff <(printf '%s\n' "$1") <(store_names)
	return 1
}

@test "layers of a removed image go with the last container that uses them" {
	only_crisp
	local before pod container
	before=$(store_names)
	crictl pull "$STAGING/test-image-tag:test" >/dev/null
	pod=$(run_pod last)
	container=$(run_container "$pod" last last ".image.image = \"$STAGING/test-image-tag:test\"")
	is "$(rpc_code RemoveImage "{\"image\": {\"image\": \"$STAGING/test-image-tag:test\"}}")" OK
	is "$(in_container "$container" cat /marker)" "test"
	stop_server KILL
	start_server
	is "$(in_container "$container" cat /marker)" "test"
	crictl rm -f "$container" >/dev/null
	store_settles "$before"
}

@test "[24] a layer found damaged is pulled again; the container on it keeps its files" {
	only_crisp
	local image="$STAGING/test-image-tag:all" pod container second layer
	crictl pull "$image" >/dev/null
	pod=$(run_pod damage)
	container=$(run_container "$pod" damage first ".image.image = \"$image\"")
	layer=$(dirname "$(dirname "$(grep -lx all "$CRISP_ROOT"/layers/*/diff/marker)")")
	stop_server KILL
	printf '{"version":1' >"$layer/layer.json"
	start_server
	is "$(image_field "$image" .)" null
	is "$(in_container "$container" cat /marker)" all
	crictl pull "$image" >/dev/null
	is "$(in_container "$container" cat /marker)" all
	is "$(in_container "$container" sh -c 'busybox true && echo whole')" whole
	second=$(run_container "$pod" damage second ".image.image = \"$image\"")
	is "$(in_container "$second" cat /marker)" all
	crictl rm -f "$container" "$second" >/dev/null
	rm "$CRISP_ROOT"/quarantine/image-*.json
	rmdir "$CRISP_ROOT/quarantine"
	tmp_is_empty() { [ -z "$(ls "$CRISP_ROOT/tmp")" ]; }
	within 20 tmp_is_empty
}

@test "pinned_images: told to kubelet, changed by a reload, removable" {
	only_crisp
	crictl pull "$STAGING/test-image-1:latest" >/dev/null
	is "$(image_field "$STAGING/test-image-1:latest" .pinned)" false
	printf '[crisp.image]\npinned_images = ["%s/test-image-1", "*busybox*"]\n' "$STAGING" >"$WORK/crisp.toml.d/pinned.toml"
	kill -HUP "$(server_pid)"
	is_pinned() { [ "$(image_field "$STAGING/test-image-1:latest" .pinned)" = "$1" ]; }
	within 10 is_pinned true
	is "$(image_field "$BUSYBOX" .pinned)" true
	is "$(image_field "$NGINX" .pinned)" false
	rm "$WORK/crisp.toml.d/pinned.toml"
	kill -HUP "$(server_pid)"
	within 10 is_pinned false
}

# Contents, names, owners, modes, links and (but for folders) times of all layers.
layers_digest() {
	(
		cd "$CRISP_ROOT/layers"
		find . -mindepth 3 \( -type d -printf '%p %y %m %U %G\n' -o -printf '%p %y %m %U %G %s %T@ %l\n' \) | sort
		find . -mindepth 3 -type f -print0 | sort -z | xargs -0 sha256sum
	) | sha256sum
}

# CRISP_KILLS=200 for as many as issue 3 asks.
@test "[3] kill -9 at any instant of a pull: nothing half made is left, and the next pull is whole" {
	only_crisp
	local image=docker.io/library/crisp-layers:1 before whole start took i after pull
	before=$(store_names)
	start=$(date +%s%N)
	crictl pull "$image" >/dev/null
	took=$(($(date +%s%N) - start))
	whole=$(layers_digest)
	crictl rmi "$image" >/dev/null
	store_settles "$before"
	for ((i = 0; i < ${CRISP_KILLS:-8}; i++)); do
		after=$(awk -v took="$took" -v random="$RANDOM" 'BEGIN { printf "%.3f", took / 1e9 * random / 32768 * 1.1 }')
		crictl pull "$image" >/dev/null 2>&1 &
		pull=$!
		sleep "$after"
		stop_server KILL
		wait "$pull" || true
		start_server
		if [ "$(image_field "$image" .)" = null ]; then
			store_settles "$before" || { printf 'killed after %s s of %s ns\n' "$after" "$took"; return 1; }
			crictl pull "$image" >/dev/null
		fi
		is "$(layers_digest)" "$whole" "layers, killed after $after s"
		crictl rmi "$image" >/dev/null
		store_settles "$before"
	done
}

# A second registry on the same files, which tells of every request.
start_telling_registry() {
	rm -f "$WORK/telling.log"
	printf '%s\n' "version: 0.1" "log: {level: error}" "storage: {filesystem: {rootdirectory: $CRISP_IMAGES}}" \
		"http: {addr: 127.0.0.1:5001}" >"$WORK/telling.yaml"
	OTEL_TRACES_EXPORTER=none detached "$WORK/telling.log" "$("$CRISP_IT/images/registry")/usr/bin/docker-registry" serve "$WORK/telling.yaml"
	within 20 curl -fsS -o /dev/null http://127.0.0.1:5001/v2/
}

# Pulls these from it, all at the same time; $asked has a line for each blob that it was asked for: its digest.
pull_together() { # NAME...
	local registry name pulls=()
	start_telling_registry
	registry=$DETACHED
	printf '[crisp.image]\ninsecure_registries = ["127.0.0.1:5001"]\n' >"$WORK/crisp.toml.d/telling.toml"
	kill -HUP "$(server_pid)"
	known() { rpc_code PullImage '{"image": {"image": "127.0.0.1:5001/any:absent"}}' | grep -q NotFound; }
	within 10 known
	for name in "$@"; do
		crictl pull "127.0.0.1:5001/$name" >/dev/null &
		pulls+=($!)
	done
	for name in "${pulls[@]}"; do wait "$name"; done
	rm "$WORK/crisp.toml.d/telling.toml"
	kill -HUP "$(server_pid)"
	kill "$registry"
	asked=$(grep -oE '"GET [^ ]*/blobs/sha256:[0-9a-f]{64}' "$WORK/telling.log" | grep -oE '[0-9a-f]{64}$' | sort)
}

@test "two pulls of one image at a time: the registry is asked for each blob once" {
	only_crisp
	local asked
	pull_together library/crisp-layers:1 library/crisp-layers:1
	is "$(uniq -d <<<"$asked")" "" "blobs asked for twice"
	[ "$(wc -l <<<"$asked")" -ge 4 ]
}

@test "eight pulls of images that share a layer: the registry is asked for each blob once" {
	only_crisp
	local n images=() asked
	for n in 1:latest 2:latest 3:latest latest:latest tag:test tag:all user-uid:latest user-username:latest; do
		images+=("${STAGING#*/}/test-image-$n")
	done
	crictl rmi "$BUSYBOX" >/dev/null
	crictl rmi "$NGINX" >/dev/null
	pull_together "${images[@]}"
	is "$(uniq -d <<<"$asked")" "" "blobs asked for twice"
	is "$(wc -l <<<"$asked")" 17 "a config and a layer of each, and the layer of all"
	is "$(crictl images -o json | jq '[.images[].repoTags[] | select(startswith("127.0.0.1:5001/"))] | length')" 8
}

# CRISP_ROUNDS=500 for the ten minutes of lessons.md, fault 37.
@test "[37] removals against pulls and creations: what was created has its whole image" {
	only_crisp
	local image="$STAGING/test-image-tag:test" pod container remover i made=0
	pod=$(run_pod race)
	touch "$BATS_TEST_TMPDIR/racing"
	while [ -e "$BATS_TEST_TMPDIR/racing" ]; do
		crirpc -e "$SERVER_SOCKET" RemoveImage "{\"image\": {\"image\": \"$image\"}}" >"$BATS_TEST_TMPDIR/removals"
		sleep "$((RANDOM % 2 * 2)).0$((RANDOM % 10))" # at once, or so late that a creation gets through
	done 3>&- &
	remover=$!
	for ((i = 0; made < ${CRISP_ROUNDS:-10} && i < 20 * ${CRISP_ROUNDS:-10}; i++)); do
		crictl pull "$image" >/dev/null
		container=$(create_container "$pod" race "race$i" ".image.image = \"$image\"" 2>/dev/null) || continue
		made=$((made + 1))
		crictl start "$container" >/dev/null
		is "$(in_container "$container" cat /marker)" "test"
		is "$(in_container "$container" sh -c 'busybox true && echo whole')" whole
		crictl rm -f "$container" >/dev/null
	done
	rm "$BATS_TEST_TMPDIR/racing"
	wait "$remover"
	printf '%s of %s were made\n' "$made" "$i"
	is "$made" "${CRISP_ROUNDS:-10}"
}

@test "an absent tag or repository: NotFound, nothing stored" {
	refused NotFound PullImage "{\"image\": {\"image\": \"$STAGING/test-image-tag:no-such-tag\"}}"
	refused NotFound PullImage "{\"image\": {\"image\": \"$STAGING/no-such-repository:1\"}}"
	unlike "$(crictl images)" no-such
}

@test "a pull past its deadline is DeadlineExceeded and is not finished behind the caller's back" {
	is "$(rpc_code PullImage '{"image": {"image": "docker.io/library/crisp-layers:1"}}' -t 3ms)" DeadlineExceeded
	sleep "$((2 * CRISP_SLOW))"
	is "$(image_field docker.io/library/crisp-layers:1 .)" null
}

@test "a registry that is down: RegistryUnavailable, with the one code that lets the kubelet see the word" {
	only_crisp
	refused Unknown PullImage '{"image": {"image": "127.0.0.1:1/any/thing:1"}}'
	like "$(rpc_text)" '^RegistryUnavailable: 127\.0\.0\.1:1: '
	# crictl shares the kubelet's client (k8s.io/cri-client).
	run crictl pull 127.0.0.1:1/any/thing:1
	like "$output" 'pulling image: RegistryUnavailable: 127\.0\.0\.1:1: '
}

@test "ten pulls of one image at a time give one image" {
	local i
	for i in 1 2 3 4 5 6 7 8 9 10; do
		rpc_code PullImage "{\"image\": {\"image\": \"docker.io/library/crisp-oci:1\"}}" >"$BATS_TEST_TMPDIR/code.$i" &
	done
	wait
	is "$(cat "$BATS_TEST_TMPDIR"/code.* | sort | uniq -c | tr -s ' ')" " 10 OK"
	is "$(crictl images | grep -c crisp-oci)" 1
}

@test "imagefsinfo counts what is there" {
	local before after
	before=$(crictl imagefsinfo -o json | jq -r '.status.imageFilesystems[0].usedBytes.value | tonumber')
	crictl pull crisp-layers:1 >/dev/null
	grown() {
		after=$(crictl imagefsinfo -o json | jq -r '.status.imageFilesystems[0].usedBytes.value | tonumber')
		[ "$after" -gt $((before + 100000000)) ]
	}
	within 15 grown
	crictl rmi docker.io/library/crisp-layers:1 >/dev/null
	shrunk() {
		after=$(crictl imagefsinfo -o json | jq -r '.status.imageFilesystems[0].usedBytes.value | tonumber')
		[ "$after" -eq "$before" ]
	}
	[ "$CRISP_SERVER" != crispd ] || within 15 shrunk
	crictl imagefsinfo -o json | jq -e '.status.imageFilesystems[0].fsId.mountpoint | startswith("/")'
}

@test "nothing is left behind" { census_is_clean; }
