/*
 * Reads a layer's tar stream (ustar, PAX, GNU long names, all sparse forms; libarchive) into a layer tree, in
 * the way of OCI image-spec 1.1, layer.md: ".wh.NAME" hides NAME of the layers below, ".wh..wh..opq" hides
 * all of a directory's lower content. Other ".wh..wh." names are aufs's own and are skipped.
 *
 * Of extended attributes only security.capability and user.* (but user.overlay.*) are kept: trusted.overlay.*
 * would talk to overlayfs, security labels belong to the host.
 *
 * INVALID_ARGUMENT for what is no tar, or goes over a limit; RESOURCE_EXHAUSTED for a full disk; the source's
 * errors pass through.
 */
#ifndef IMAGE_UNPACK_H
#define IMAGE_UNPACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/inflate.h"
#include "image/layer_tree.h"

enum {
	UNPACK_HEADER_MAX = 4 * 1024 * 1024
}; /* bytes of headers (PAX records, long names, sparse maps) before one member */
#define UNPACK_FILE_MAX (INT64_C(1) << 42) /* bytes of one file, holes included: 4 TiB */

/* The source yields the uncompressed stream. It may have more to give when the tar has ended. sync_soon: who
 * calls will wait for the disk, so it is given large files' content while the rest is read. */
int unpack(const struct byte_source *source, struct layer_tree *tree, bool sync_soon,
	   struct err *err) MUST_CHECK;

#endif
