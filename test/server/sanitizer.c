/*
 * gRPC and abseil are not instrumented: ThreadSanitizer sees their memory traffic through malloc and memcpy,
 * but not their locks and atomics, and would report all of it. Accesses made from within such libraries are
 * left out; those of our code, and our own hand-overs between threads (see server/grpc/call.c), are checked.
 */
const char *__tsan_default_options(void);

/* Called by the sanitizer's runtime at start; dead code in other builds. TSAN_OPTIONS adds to it. */
const char *__tsan_default_options(void)
{
	return "ignore_noninstrumented_modules=1";
}
