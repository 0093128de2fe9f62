# Layers, image configs and manifests, pushed to a registry over the distribution API with curl and jq. Sourced.
#
# Everything is reproducible: same content, same digest. Each image is made twice from the same calls if asked for in two
# formats ("docker": schema2 media types, "oci": OCI ones). A layer is gzip; its facts are kept beside it as NAME.json.
# Set PUSH_WORK (scratch folder) and PUSH_URL (http://HOST:PORT) before use.
# shellcheck shell=bash

declare -A PUSH_TYPE=(
	[docker.manifest]=application/vnd.docker.distribution.manifest.v2+json
	[docker.index]=application/vnd.docker.distribution.manifest.list.v2+json
	[docker.config]=application/vnd.docker.container.image.v1+json
	[docker.layer]=application/vnd.docker.image.rootfs.diff.tar.gzip
	[oci.manifest]=application/vnd.oci.image.manifest.v1+json
	[oci.index]=application/vnd.oci.image.index.v1+json
	[oci.config]=application/vnd.oci.image.config.v1+json
	[oci.layer]=application/vnd.oci.image.layer.v1.tar+gzip
)

sha_of() {
	printf 'sha256:%s' "$(sha256sum "$1" | cut -d' ' -f1)"
}

# layer NAME FOLDER: packs the folder, root-owned and undated, as the layer NAME.
layer() {
	local tar=$PUSH_WORK/$1.tar
	tar -C "$2" --sort=name --mtime=@1700000000 --owner=0 --group=0 --numeric-owner -cf "$tar" .
	gzip -n -6 -c "$tar" >"$tar.gz"
	jq -n --arg diff "$(sha_of "$tar")" --arg digest "$(sha_of "$tar.gz")" --argjson size "$(stat -c %s "$tar.gz")" \
		'{diff: $diff, digest: $digest, size: $size}' >"$PUSH_WORK/$1.json"
	rm "$tar"
}

# blob REPOSITORY FILE DIGEST: uploads in one piece, unless the registry has it.
blob() {
	local location
	curl -fsS -o /dev/null -I "$PUSH_URL/v2/$1/blobs/$3" 2>/dev/null && return
	location=$(curl -fsS -X POST -o /dev/null -D - "$PUSH_URL/v2/$1/blobs/uploads/" |
		sed -n 's/^[Ll]ocation: *//p' | tr -d '\r')
	curl -fsS -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$2" "$location&digest=$3"
}

# manifest REPOSITORY REFERENCE TYPE FILE: puts a manifest or index under a tag or digest.
manifest() {
	curl -fsS -X PUT -H "Content-Type: $3" --data-binary "@$4" "$PUSH_URL/v2/$1/manifests/$2"
}

# image FORMAT REPOSITORY TAG CONFIG LAYER...: CONFIG is the "config" object of the image, with "architecture" taken out
# of it if there. Writes the descriptor of the manifest, as an index needs it, to $PUSH_WORK/descriptor.json.
image() {
	local format=$1 repository=$2 tag=$3 config=$4 name digest
	shift 4
	local layers=("${@/#/$PUSH_WORK/}")
	jq -s --argjson config "$config" '{created: "2023-11-14T22:13:20Z", architecture: ($config.architecture // "amd64"),
		os: "linux", config: ($config | del(.architecture)), rootfs: {type: "layers", diff_ids: map(.diff)},
		history: map({created: "2023-11-14T22:13:20Z", created_by: "crisp fixture"})}' \
		"${layers[@]/%/.json}" >"$PUSH_WORK/config.json"
	digest=$(sha_of "$PUSH_WORK/config.json")
	jq -s --arg digest "$digest" --argjson size "$(stat -c %s "$PUSH_WORK/config.json")" \
		--arg type "${PUSH_TYPE[$format.manifest]}" --arg config "${PUSH_TYPE[$format.config]}" --arg layer "${PUSH_TYPE[$format.layer]}" \
		'{schemaVersion: 2, mediaType: $type, config: {mediaType: $config, digest: $digest, size: $size},
		layers: map({mediaType: $layer, digest: .digest, size: .size})}' \
		"${layers[@]/%/.json}" >"$PUSH_WORK/manifest.json"
	for name in "$@"; do
		blob "$repository" "$PUSH_WORK/$name.tar.gz" "$(jq -r .digest "$PUSH_WORK/$name.json")"
	done
	blob "$repository" "$PUSH_WORK/config.json" "$digest"
	digest=$(sha_of "$PUSH_WORK/manifest.json")
	manifest "$repository" "${tag:-$digest}" "${PUSH_TYPE[$format.manifest]}" "$PUSH_WORK/manifest.json"
	jq -n --arg type "${PUSH_TYPE[$format.manifest]}" --arg digest "$digest" --argjson config "$config" \
		--argjson size "$(stat -c %s "$PUSH_WORK/manifest.json")" '{mediaType: $type, digest: $digest, size: $size,
		platform: {os: "linux", architecture: ($config.architecture // "amd64")}}' >"$PUSH_WORK/descriptor.json"
}

# image_index FORMAT REPOSITORY TAG DESCRIPTOR...: an index over manifests pushed before.
image_index() {
	local format=$1 repository=$2 tag=$3
	shift 3
	jq -s --arg type "${PUSH_TYPE[$format.index]}" '{schemaVersion: 2, mediaType: $type, manifests: .}' "$@" \
		>"$PUSH_WORK/index.json"
	manifest "$repository" "$tag" "${PUSH_TYPE[$format.index]}" "$PUSH_WORK/index.json"
}
