/*
 * Platforms as image indexes name them (OCI image-spec, image-index.md, "platform"; the values are Go's GOOS
 * and GOARCH), and the choice of the best one for a node.
 */
#ifndef IMAGE_PLATFORM_H
#define IMAGE_PLATFORM_H

struct platform {
	const char *os, *architecture, *variant; /* "" or NULL: not said */
};

/* Of the machine this process was built for. */
const struct platform *platform_host(void);
/* How well `offered` runs on `host`: 0 not at all, greater is better. */
int platform_rank(const struct platform *host, const struct platform *offered);

#endif
