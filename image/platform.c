/*
 * The architecture is the build's: a 32-bit crispd on a 64-bit kernel must pull 32-bit images. Variants
 * matter for arm (v8 down to v5: lower ones run, higher ones don't) and amd64 (v1 is the baseline; higher
 * levels are taken only if nothing else is offered, since they need instructions this build does not check
 * for).
 */
#include "image/platform.h"

#include "base/str.h"

#if defined(__x86_64__)
static const struct platform host_platform = { "linux", "amd64", "" };
#elif defined(__aarch64__)
static const struct platform host_platform = { "linux", "arm64", "v8" };
#elif defined(__arm__)
static const struct platform host_platform = { "linux", "arm", "v7" };
#elif defined(__i386__)
static const struct platform host_platform = { "linux", "386", "" };
#elif defined(__riscv) && __riscv_xlen == 64
static const struct platform host_platform = { "linux", "riscv64", "" };
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
static const struct platform host_platform = { "linux", "ppc64le", "" };
#elif defined(__s390x__)
static const struct platform host_platform = { "linux", "s390x", "" };
#elif defined(__loongarch64)
static const struct platform host_platform = { "linux", "loong64", "" };
#else
#error "name this architecture as Go does"
#endif

enum { RANK_EXACT = 100, RANK_BASELINE = 50, RANK_DOUBTFUL = 1 };

const struct platform *platform_host(void)
{
	return &host_platform;
}

/* "v7" is 7, anything else -1. */
static int variant_number(const char *variant)
{
	uint64_t number;

	if (str_empty(variant) || variant[0] != 'v' || !parse_u64(variant + 1, 99, &number))
		return -1;
	return (int)number;
}

static int variant_rank(const struct platform *host, const struct platform *offered)
{
	int have = variant_number(host->variant);
	int want = variant_number(offered->variant);

	if (str_eq(host->architecture, "arm")) {
		if (want < 0)
			return str_empty(offered->variant) ? RANK_BASELINE : 0;
		return want <= have ? RANK_EXACT - (have - want) : 0;
	}
	if (str_empty(offered->variant))
		return RANK_EXACT;
	if (str_eq(host->architecture, "arm64"))
		return want == have ? RANK_EXACT : RANK_DOUBTFUL;
	if (str_eq(host->architecture, "amd64"))
		return want == 1 ? RANK_EXACT - 1 : RANK_DOUBTFUL;
	return str_eq(host->variant, offered->variant) ? RANK_EXACT : RANK_DOUBTFUL;
}

int platform_rank(const struct platform *host, const struct platform *offered)
{
	if (!str_eq(host->os, offered->os) || !str_eq(host->architecture, offered->architecture))
		return 0;
	return variant_rank(host, offered);
}
