/* floor: image
 *
 * An auth file. Whatever is found is fit for a header, and no password enters an error's text.
 */
#include <assert.h>
#include <string.h>

#include "fuzz.h"
#include "image/auth_file.h"

static void check_clean(const char *text)
{
	for (const char *c = text ? text : ""; *c; c++)
		assert((unsigned char)*c >= 0x20 && *c != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const hosts[] = { "r.io", "docker.io", "localhost:5000" };

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		CLEANUP(auth_answer_done) struct auth_answer answer = { 0 };
		CLEANUP(wipe_freep) char *basic = NULL;
		struct err err = { 0 };

		if (auth_file_look_up((const char *)data, len, hosts[i], "team/app", &answer, &err) < 0) {
			assert(err.code == RPC_INVALID_ARGUMENT && !answer.helper && !answer.store);
			assert(credentials_empty(&answer.credentials));
			continue;
		}
		check_clean(answer.credentials.username);
		check_clean(answer.credentials.password);
		check_clean(answer.credentials.identity_token);
		check_clean(answer.credentials.registry_token);
		basic = credentials_basic(&answer.credentials);
		assert(!basic || strncmp(basic, "Basic ", 6) == 0);
	}
	return 0;
}
