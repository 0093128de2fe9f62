/*
 * Two byte sources stacked on the blob's: `blob_next` hashes what comes from the registry, `diff_next`
 * inflates it, hashes the result and holds it to the limits. unpack() pulls from the latter; what it leaves
 * (padding behind the end of the tar) is pulled here, so that the digests cover everything.
 *
 * An uncompressed layer is its own diff: then the second hash is not computed but copied.
 */
#include "image/layer.h"

#include "image/unpack.h"

const struct layer_limits layer_limits_default = {
	.tree = { .entries_max = 1000000, .names_max = UINT64_C(64) << 20 },
	.unpacked_free = UINT64_C(1) << 30,
	.expansion_max = 200, /* deflate reaches 1032 on zeros; text and binaries stay below 20 */
	.unpacked_max = UINT64_C(1) << 40,
};

struct stream {
	const struct layer_input *input;
	struct hasher *blob_hasher, *diff_hasher;
	struct inflate *inflate;
	uint64_t blob_bytes, diff_bytes;
};

void layer_output_done(struct layer_output *output)
{
	strv_done(&output->implied);
	*output = (struct layer_output){ 0 };
}

static void stream_done(struct stream *stream)
{
	inflate_free(stream->inflate);
	hasher_free(stream->blob_hasher);
	hasher_free(stream->diff_hasher);
}

static int blob_next(void *data, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	struct stream *stream = data;
	const struct byte_source *blob = stream->input->blob;

	if (blob->next(blob->data, ret, ret_len, err) < 0)
		return -1;
	hasher_add(stream->blob_hasher, *ret, *ret_len);
	stream->blob_bytes += *ret_len;
	return 0;
}

static int check_expansion(const struct stream *stream, struct err *err)
{
	const struct layer_limits *limits = stream->input->limits;

	if (stream->diff_bytes > limits->unpacked_max)
		return err_set(err, RPC_INVALID_ARGUMENT, "layer is larger than %llu bytes unpacked",
			       (unsigned long long)limits->unpacked_max);
	if (stream->diff_bytes > limits->unpacked_free &&
	    stream->diff_bytes / limits->expansion_max > stream->blob_bytes)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "layer expands more than %llu times: taken for a decompression bomb",
			       (unsigned long long)limits->expansion_max);
	return 0;
}

static int diff_next(void *data, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	struct stream *stream = data;

	if (inflate_next(stream->inflate, ret, ret_len, err) < 0)
		return -1;
	if (!inflate_is_plain(stream->inflate) ||
	    stream->input->digest->algorithm != stream->input->diff_id->algorithm)
		hasher_add(stream->diff_hasher, *ret, *ret_len);
	stream->diff_bytes += *ret_len;
	return check_expansion(stream, err);
}

static int drain(struct stream *stream, struct err *err)
{
	const uint8_t *piece;
	size_t len;

	do {
		if (diff_next(stream, &piece, &len, err) < 0)
			return -1;
	} while (len > 0);
	return 0;
}

static int check_digests(struct stream *stream, struct err *err)
{
	struct digest blob, diff;

	hasher_end(stream->blob_hasher, &blob);
	if (digest_expect(stream->input->digest, &blob, "blob", err) < 0)
		return -1;
	if (inflate_is_plain(stream->inflate) && blob.algorithm == stream->input->diff_id->algorithm)
		diff = blob;
	else
		hasher_end(stream->diff_hasher, &diff);
	return digest_expect(stream->input->diff_id, &diff, "diff_id", err);
}

int layer_unpack(const struct layer_input *input, struct layer_output *ret, struct err *err)
{
	CLEANUP(stream_done)
	struct stream stream = {
		.input = input,
		.blob_hasher = hasher_new(input->digest->algorithm),
		.diff_hasher = hasher_new(input->diff_id->algorithm),
	};
	CLEANUP(layer_tree_freep) struct layer_tree *tree = layer_tree_new(input->root, &input->limits->tree);
	const struct byte_source blob = { blob_next, &stream };
	const struct byte_source diff = { diff_next, &stream };

	stream.inflate = inflate_new(&blob);
	if (unpack(&diff, tree, input->sync_soon, err) < 0 || drain(&stream, err) < 0 ||
	    check_digests(&stream, err) < 0)
		return -1;
	ret->usage = *layer_tree_usage(tree);
	layer_tree_implied(tree, &ret->implied);
	return 0;
}

bool layer_is_empty(const struct digest *diff_id)
{
	static const uint8_t end_of_archive[1024];
	struct digest empty;

	digest_of(diff_id->algorithm, end_of_archive, sizeof(end_of_archive), &empty);
	return digest_equal(diff_id, &empty);
}
