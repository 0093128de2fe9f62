/*
 * The RPCs that tell of images, on a store with a few hundred of them: records, configs and one layer are
 * written as a pull would have left them.
 */
#include "test/base/check.h"

#include <stdatomic.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/map.h"
#include "image/layer_record.h"
#include "image/layers.h"
#include "proto/cri.pb-c.h"
#include "server/service.h"
#include "test/server/client.h"
#include "test/server/fixture.h"

enum { IMAGES = 300 };

struct state {
	struct scratch scratch;
	struct pool *pool;
	struct config *config;
	struct service service;
	struct fixture *fixture;
	struct client *client;
	char first_id[DIGEST_TEXT_SIZE];
};

static int make_layer(int root, struct digest *ret_diff_id)
{
	static const char zeros[1024];
	const struct tree_usage usage = { 4096, 1 };
	struct err err = { 0 };
	char text[DIGEST_TEXT_SIZE];

	digest_of(DIGEST_SHA256, zeros, sizeof(zeros), ret_diff_id);
	digest_text(ret_diff_id, text); /* of a base layer the chain ID is the diff_id */
	CLEANUP(freep) char *path = layers_path(ret_diff_id);
	CLEANUP(fd_closep) int diff = dir_make(root, path, 0755, &err);
	CLEANUP(fd_closep) int dir = openat(diff, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_ok(layer_record_write(dir, text, &usage, &err));
	return 0;
}

static void make_image(struct state *state, struct blobs *blobs, int records, const struct digest *diff_id,
		       size_t number)
{
	CLEANUP(image_unrefp) struct image *image = image_new();
	CLEANUP(str_done) struct str config = STR_INIT;
	struct digest id;
	char text[DIGEST_TEXT_SIZE], layer[DIGEST_TEXT_SIZE];
	struct err err = { 0 };

	digest_text(diff_id, layer);
	str_addf(&config,
		 "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"User\":\"u%zu\"},"
		 "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
		 number, layer);
	digest_of(DIGEST_SHA256, str_get(&config), config.len, &id);
	digest_text(&id, text);
	if (number == 0)
		memcpy(state->first_id, text, sizeof(text));
	assert_ok(blobs_put(blobs, &id, &config, false, &err));
	image->id = xstrdup(text);
	image->digest = xstrdup(text);
	strv_add(&image->layers, layer);
	strv_addf(&image->repo_tags, "plain.test/app:%zu", number);
	strv_addf(&image->repo_digests, "plain.test/app@%s", text);
	image->size = 1000 + number;
	image->created_at = image->updated_at = (int64_t)number + 1;
	assert_ok(image_record_write(records, image, false, &err));
}

static void make_store(struct state *state)
{
	struct err err = { 0 };
	CLEANUP(fd_closep) int root = dir_make(state->scratch.dir, "root", 0700, &err);
	CLEANUP(fd_closep) int records = dir_make(root, "images", 0700, &err);
	struct digest diff_id;
	struct blobs *blobs;

	make_layer(root, &diff_id);
	assert_ok(blobs_open(root, &blobs, &err));
	for (size_t i = 0; i < IMAGES; i++)
		make_image(state, blobs, records, &diff_id, i);
	blobs_free(blobs);
}

static int setup(void **data)
{
	const struct pool_options pool = {
		.name = "image", .threads_max = 4, .queue_max = 100, .idle_ns = NS_PER_SEC
	};
	const struct rpc fakes[] = { rpc_stream_images, rpc_list_images, rpc_image_status };
	struct state *state = xnew(struct state);
	struct err err = { 0 };

	scratch_init(&state->scratch);
	make_store(state);
	CLEANUP(freep)
	char *toml = xasprintf("[crisp]\nroot = \"%s/root\"\n[crisp.image]\n"
			       "registries_conf = \"/nonexistent\"\npinned_images = [\"*:7\"]\n",
			       state->scratch.path);
	const struct config_paths paths = { .file = "/nonexistent",
					    .dropins = "/nonexistent",
					    .overrides = toml };

	assert_ok(config_load(&paths, &state->config, &err));
	state->pool = pool_new(&pool);
	const struct images_options options = { .config = state->config, .pool = state->pool };

	state->service.images = images_open(&options, &err);
	if (!state->service.images)
		fail_msg("%s", err.text);
	assert_int_equal(images_warnings(state->service.images)->len, 0);
	state->fixture = fixture_new(&(struct fixture_options){
		.fakes = fakes, .fakes_len = ARRAY_LEN(fakes), .service = &state->service });
	state->client = client_new(fixture_socket(state->fixture), false);
	*data = state;
	return 0;
}

static int teardown(void **data)
{
	struct state *state = *data;

	client_free(state->client);
	fixture_free(state->fixture);
	images_free(state->service.images);
	pool_free(state->pool);
	config_unref(state->config);
	scratch_done(&state->scratch);
	free(state);
	return 0;
}

/* Every image once, in the order of their pulls, in bounded parts; unlike a list, whose parts are one. */
static void test_stream(void **data)
{
	struct state *state = *data;
	struct client_answer answer;
	size_t seen = 0;

	client_run(state->client, &(struct client_request){ .path = IMAGE("StreamImages") }, &answer);
	assert_int_equal(answer.code, RPC_OK);
	assert_between(answer.messages, 4, 10);
	for (size_t i = 0; i < answer.messages; i++) {
		Cri__StreamImagesResponse *part = (Cri__StreamImagesResponse *)protobuf_c_message_unpack(
			&cri__stream_images_response__descriptor, NULL, answer.len[i], answer.data[i]);

		assert_non_null(part);
		assert_between(part->n_images, 1, IMAGES / 2);
		for (size_t j = 0; j < part->n_images; j++, seen++) {
			CLEANUP(freep) char *tag = xasprintf("plain.test/app:%zu", seen);
			CLEANUP(freep) char *user = xasprintf("u%zu", seen);

			assert_string_equal(part->images[j]->repo_tags[0], tag);
			assert_string_equal(part->images[j]->username, user);
			assert_int_equal(part->images[j]->size, 1000 + seen);
			assert_int_equal(part->images[j]->pinned, seen == 7);
		}
		protobuf_c_message_free_unpacked(&part->base, NULL);
	}
	assert_int_equal(seen, IMAGES);
	client_answer_done(&answer);
}

static Cri__ImageSpec spec_of(const char *name)
{
	Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;

	spec.image = (char *)name;
	return spec;
}

static size_t count_streamed(struct state *state, const char *name)
{
	Cri__StreamImagesRequest request = CRI__STREAM_IMAGES_REQUEST__INIT;
	Cri__ImageFilter filter = CRI__IMAGE_FILTER__INIT;
	Cri__ImageSpec spec = spec_of(name);
	uint8_t bytes[512];
	struct client_answer answer;
	size_t messages;

	filter.image = &spec;
	request.filter = &filter;
	client_run(state->client,
		   &(struct client_request){ .path = IMAGE("StreamImages"),
					     .data = bytes,
					     .len = protobuf_c_message_pack(&request.base, bytes) },
		   &answer);
	messages = answer.code == RPC_OK ? answer.messages : 1000 + (size_t)answer.code;
	client_answer_done(&answer);
	return messages;
}

static void test_filter(void **data)
{
	struct state *state = *data;

	assert_int_equal(count_streamed(state, "plain.test/app:12"), 1);
	assert_int_equal(count_streamed(state, state->first_id), 1);
	assert_int_equal(count_streamed(state, "plain.test/app:none"), 0);
	assert_int_equal(count_streamed(state, "NO/NAME"), 1000 + RPC_INVALID_ARGUMENT);
}

static size_t count_listed(struct state *state, const char *name, const char *expected)
{
	Cri__ListImagesRequest request = CRI__LIST_IMAGES_REQUEST__INIT;
	Cri__ImageFilter filter = CRI__IMAGE_FILTER__INIT;
	Cri__ImageSpec spec = spec_of(name);
	ProtobufCMessage *answer = NULL;
	size_t count;

	filter.image = &spec;
	request.filter = &filter;
	assert_int_equal(client_ask(state->client, IMAGE("ListImages"), &request.base,
				    &cri__list_images_response__descriptor, &answer),
			 RPC_OK);
	count = ((Cri__ListImagesResponse *)answer)->n_images;
	if (expected)
		assert_string_equal(((Cri__ListImagesResponse *)answer)->images[0]->id, expected);
	protobuf_c_message_free_unpacked(answer, NULL);
	return count;
}

static void test_list(void **data)
{
	struct state *state = *data;

	assert_int_equal(count_listed(state, "", NULL), IMAGES);
	assert_int_equal(count_listed(state, "plain.test/app:0", state->first_id), 1);
	assert_int_equal(count_listed(state, state->first_id + 7, state->first_id), 1);
	assert_int_equal(count_listed(state, "plain.test/app:none", NULL), 0);
}

/* Equal by whatever name; the config as it was pulled with "verbose". */
static void test_status(void **data)
{
	struct state *state = *data;
	CLEANUP(freep) char *by_digest = xasprintf("plain.test/app@%s", state->first_id);
	CLEANUP(freep) char *prefix = xstrndup(state->first_id + 7, 20);
	const char *const names[] = { "plain.test/app:0", by_digest, state->first_id, state->first_id + 7,
				      prefix };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		Cri__ImageStatusRequest request = CRI__IMAGE_STATUS_REQUEST__INIT;
		Cri__ImageSpec spec = spec_of(names[i]);
		ProtobufCMessage *answer = NULL;
		const Cri__ImageStatusResponse *status;

		request.image = &spec;
		request.verbose = true;
		assert_int_equal(client_ask(state->client, IMAGE("ImageStatus"), &request.base,
					    &cri__image_status_response__descriptor, &answer),
				 RPC_OK);
		status = (const Cri__ImageStatusResponse *)answer;
		assert_non_null(status->image);
		assert_string_equal(status->image->id, state->first_id);
		assert_string_equal(status->image->repo_digests[0], by_digest);
		assert_string_equal(status->image->username, "u0");
		assert_null(status->image->uid);
		assert_false(status->image->pinned);
		assert_int_equal(status->n_info, 1);
		assert_string_equal(status->info[0]->key, "info");
		assert_contains(status->info[0]->value, "\"User\":\"u0\"");
		protobuf_c_message_free_unpacked(answer, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_status),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
