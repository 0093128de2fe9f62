/* JSON is written as text: tests want to see, and break, exactly what is served. */
#include "test/image/fake_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/image/tar_stream.h"

struct fake_file {
	char *type;
	char *data;
	size_t len;
};

static void file_free(void *value)
{
	struct fake_file *file = value;

	free(file->type);
	free(file->data);
	free(file);
}

void fake_content_init(struct fake_content *content)
{
	*content = (struct fake_content){ 0 };
	pthread_mutex_init(&content->mutex, NULL);
	map_init(&content->by_path, NULL);
	map_init(&content->all, file_free);
}

void fake_content_done(struct fake_content *content)
{
	map_done(&content->by_path);
	map_done(&content->all);
	pthread_mutex_destroy(&content->mutex);
}

void fake_content_fault(struct fake_content *content, fake_fault *fault)
{
	pthread_mutex_lock(&content->mutex);
	content->fault = fault;
	pthread_mutex_unlock(&content->mutex);
}

void fake_content_put(struct fake_content *content, const char *path, const char *type, const void *data,
		      size_t len)
{
	struct fake_file *file = xnew(struct fake_file);

	file->type = xstrdup(type);
	file->data = xmemdup(data, len);
	file->len = len;
	pthread_mutex_lock(&content->mutex);
	CLEANUP(freep) char *number = xasprintf("%zu", map_len(&content->all));

	map_put(&content->all, number, file);
	map_put(&content->by_path, path, file);
	pthread_mutex_unlock(&content->mutex);
}

static void serve_file(struct fake_request *request, const struct fake_file *file)
{
	unsigned long long start = 0, last = file->len - 1;
	char headers[256];

	snprintf(headers, sizeof(headers), "Content-Type: %s\r\n", file->type);
	if (sscanf(request->range, "bytes=%llu-%llu", &start, &last) >= 1 && start < file->len) {
		size_t used = strlen(headers);

		if (last >= file->len)
			last = file->len - 1;
		snprintf(headers + used, sizeof(headers) - used, "Content-Range: bytes %llu-%llu/%zu\r\n",
			 start, last, file->len);
		fake_reply(request, 206, headers, file->data + start, last + 1 - start);
		return;
	}
	fake_reply(request, 200, headers, file->data, file->len);
}

void fake_content_handle(struct fake_request *request, void *data)
{
	struct fake_content *content = data;
	const struct fake_file *file;
	bool handled = false;
	fake_fault *fault;

	pthread_mutex_lock(&content->mutex);
	file = map_get(&content->by_path, request->path);
	fault = content->fault;
	pthread_mutex_unlock(&content->mutex);
	if (fault)
		fault(request, content->data, &handled);
	if (handled)
		return;
	if (file)
		serve_file(request, file);
	else
		fake_reply_text(request, 404, "Content-Type: application/json\r\n",
				"{\"errors\":[{\"code\":\"NAME_UNKNOWN\",\"message\":\"no such thing\"}]}");
}

void fake_digest(const void *data, size_t len, char text[DIGEST_TEXT_SIZE])
{
	struct digest digest;

	digest_of(DIGEST_SHA256, data, len, &digest);
	digest_text(&digest, text);
}

static void put_blob(struct fake_content *content, const char *repository, const char *kind,
		     const char *digest, const char *type, const struct str *data)
{
	CLEANUP(freep) char *path = xasprintf("/v2/%s/%s/%s", repository, kind, digest);

	fake_content_put(content, path, type, str_get(data), data->len);
}

static const char *compress(const struct fake_layer *layer, struct str *blob)
{
	switch (layer->compression) {
	case FAKE_GZIP:
		compress_gzip(layer->tar->data, layer->tar->len, blob);
		return "application/vnd.oci.image.layer.v1.tar+gzip";
	case FAKE_ZSTD:
		compress_zstd(layer->tar->data, layer->tar->len, blob);
		return "application/vnd.oci.image.layer.v1.tar+zstd";
	default:
		str_addn(blob, layer->tar->data, layer->tar->len);
		return "application/vnd.oci.image.layer.v1.tar";
	}
}

void fake_image_build(struct fake_content *content, const char *repository, const char *tag, const char *run,
		      const struct fake_layer *layers, size_t layers_len, struct fake_image *ret)
{
	CLEANUP(str_done) struct str diffs = STR_INIT;
	CLEANUP(str_done) struct str descriptors = STR_INIT;
	char digest[DIGEST_TEXT_SIZE];

	*ret = (struct fake_image){ 0 };
	for (size_t i = 0; i < layers_len; i++) {
		CLEANUP(str_done) struct str blob = STR_INIT;
		const char *type = compress(&layers[i], &blob);

		fake_digest(layers[i].tar->data, layers[i].tar->len, digest);
		str_addf(&diffs, "%s\"%s\"", i ? "," : "", digest);
		fake_digest(blob.data, blob.len, digest);
		strv_add(&ret->layer_digests, digest);
		str_addf(&descriptors, "%s{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}",
			 i ? "," : "", type, digest, blob.len);
		put_blob(content, repository, "blobs", digest, "application/octet-stream", &blob);
	}
	str_addf(&ret->config,
		 "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":%s,"
		 "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%s]}}",
		 run, str_get(&diffs));
	fake_digest(ret->config.data, ret->config.len, ret->config_digest);
	str_addf(
		&ret->manifest,
		"{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":{\"mediaType\":"
		"\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[%s]}",
		FAKE_MANIFEST, ret->config_digest, ret->config.len, str_get(&descriptors));
	fake_digest(ret->manifest.data, ret->manifest.len, ret->manifest_digest);
	put_blob(content, repository, "blobs", ret->config_digest, "application/octet-stream", &ret->config);
	put_blob(content, repository, "manifests", ret->manifest_digest, FAKE_MANIFEST, &ret->manifest);
	put_blob(content, repository, "manifests", tag, FAKE_MANIFEST, &ret->manifest);
}

void fake_image_done(struct fake_image *image)
{
	str_done(&image->config);
	str_done(&image->manifest);
	strv_done(&image->layer_digests);
}
