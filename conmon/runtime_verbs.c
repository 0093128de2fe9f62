/*
 * kill, update and delete of monitor.h.
 *
 * Deleting is the subtle one. `runc delete --force` of a living container sleeps 100 ms between looks, and
 * both runtimes cost milliseconds where nothing is left to delete. So the runtime's own record is read first
 * (conmon/runtime_state.h): no folder, nothing to do; a living init is killed through its pidfd and waited
 * for; then a plain `delete` finds a stopped container. --force is what remains for runtimes whose state is
 * kept elsewhere, and for when the plain way fails.
 */
#include "conmon/monitor.h"

#include <signal.h>
#include <stdio.h>

#include "conmon/runtime_state.h"
#include "conmon/verb.h"

int runtime_kill(const struct runtime_target *target, const struct process *init, int signal, bool all,
		 const struct ctx *ctx, struct err *err)
{
	char number[16];

	if (!all && init && init->pidfd >= 0)
		return process_signal(init, signal, err);
	const char *const all_words[] = { "kill", "--all", target->id, number, NULL };
	const char *const one_word[] = { "kill", target->id, number, NULL };

	snprintf(number, sizeof(number), "%d", signal);
	if (verb_run(target, all ? all_words : one_word, ctx, err) == 0)
		return 0;
	return init && !process_alive(init) ? 0 : -1; /* nothing to signal any more */
}

int runtime_update(const struct runtime_target *target, const char *resources, const struct ctx *ctx,
		   struct err *err)
{
	const char *const words[] = { "update", "--resources", "/dev/stdin", target->id, NULL };

	return verb_run_fed(target, words, resources, ctx, err);
}

int runtime_delete(const struct runtime_target *target, const struct ctx *ctx, struct err *err)
{
	const char *const plain_words[] = { "delete", target->id, NULL };
	const char *const force_words[] = { "delete", "--force", target->id, NULL };
	struct process init CLEANUP(process_done) = PROCESS_INIT;
	enum runtime_state known = RUNTIME_STATE_UNKNOWN;
	struct err plain;

	if (runtime_state_is_known(target->handler))
		known = runtime_state_look(target, &init);
	if (known == RUNTIME_STATE_ABSENT)
		return 0;
	if (known == RUNTIME_STATE_ALIVE &&
	    (process_signal(&init, SIGKILL, err) < 0 || process_wait_gone(&init, ctx, err) < 0))
		return err_prefix(err, "kill container %s", target->id);
	if (known != RUNTIME_STATE_UNKNOWN && verb_run(target, plain_words, ctx, &plain) == 0)
		return 0;
	if (verb_run(target, force_words, ctx, err) == 0)
		return 0;
	/* Somebody else's delete may have come first. */
	return runtime_state_is_known(target->handler) &&
			       runtime_state_look(target, &init) == RUNTIME_STATE_ABSENT
		       ? 0
		       : -1;
}
