#include "server/streaming/status.h"

#include <jansson.h>
#include <stdio.h>

#include "base/json.h"

static json_t *failure(const char *reason, const char *message)
{
	json_t *text = json_string(message);

	if (!text) /* no UTF-8 */
		text = json_string("the cause cannot be told in UTF-8");
	return json_pack("{s:s, s:{}, s:o, s:s}", "status", "Failure", "metadata", "message", text, "reason",
			 reason);
}

static json_t *exit_status(int code)
{
	char number[16], message[80];
	json_t *json;

	if (code == 0)
		return json_pack("{s:s, s:{}}", "status", "Success", "metadata");
	snprintf(number, sizeof(number), "%d", code & 0xff);
	snprintf(message, sizeof(message), "command terminated with exit code %s", number);
	json = failure("NonZeroExitCode", message);
	json_object_set_new(json, "details",
			    json_pack("{s:[{s:s, s:s}]}", "causes", "reason", "ExitCode", "message", number));
	return json;
}

void status_write(const struct status *status, int version, struct str *ret)
{
	CLEANUP(json_decrefp) json_t *json = NULL;
	CLEANUP(freep) char *text = NULL;

	if (version < 4) {
		if (status->failed)
			str_add(ret, status->err.text);
		else if (status->exit_code)
			str_addf(ret, "command terminated with exit code %d", status->exit_code);
		return;
	}
	json = status->failed ? failure("InternalError", status->err.text) : exit_status(status->exit_code);
	if (status->failed)
		json_object_set_new(json, "code", json_integer(500));
	text = json_text(json);
	str_add(ret, text);
}
