/*
 * An image as CRI's message; shared by the RPCs that answer with images.
 */
#ifndef SERVER_RPC_IMAGE_MESSAGE_H
#define SERVER_RPC_IMAGE_MESSAGE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "image/images.h"
#include "proto/cri.pb-c.h"

/* A copy in the arena. */
Cri__Image *image_message(const struct image *image, struct arena *arena);
/* The images that pass the filter (NULL: all), as images_list() gives them; free with images_list_free(). */
int image_list(struct images *images, const Cri__ImageFilter *filter, struct image ***ret,
	       struct err *err) MUST_CHECK;

#endif
