/* What /proc does not tell keeps its last value. */
#include "server/metrics/sample.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "sandbox/sandbox_metrics.h"

enum { POOL_WORKER, POOL_SANDBOX, POOL_IMAGE, POOLS };

static const char *const versions[] = { CRISP_VERSION };
static const char *const pools[POOLS] = { "worker", "sandbox", "image" };
static const char *const pod_states[] = { "ready", "notready" };
static const char *const container_states[SANDBOX_CONTAINER_STATES] = { "created", "running", "exited" };

METRIC(metric_build_info, 1, .name = "build_info", .help = "The version; always 1.", .type = METRIC_GAUGE,
       .labels = { { "version", versions, 1 } });
METRIC(metric_calls, 1, .name = "calls_in_progress", .help = "CRI calls that are not answered yet.",
       .type = METRIC_GAUGE);
METRIC(metric_pool_threads, POOLS, .name = "pool_threads",
       .help = "Threads for work that waits for something, by pool.", .type = METRIC_GAUGE,
       .labels = { { "pool", pools, POOLS } });
METRIC(metric_pool_running, POOLS, .name = "pool_tasks_running", .help = "Tasks at work, by pool.",
       .type = METRIC_GAUGE, .labels = { { "pool", pools, POOLS } });
METRIC(metric_pool_waiting, POOLS, .name = "pool_tasks_waiting",
       .help = "Tasks that wait for a thread, by pool.", .type = METRIC_GAUGE,
       .labels = { { "pool", pools, POOLS } });
METRIC(metric_pods, ARRAY_LEN(pod_states), .name = "pods", .help = "Pod sandboxes, by state.",
       .type = METRIC_GAUGE, .labels = { { "state", pod_states, ARRAY_LEN(pod_states) } });
METRIC(metric_containers, SANDBOX_CONTAINER_STATES, .name = "containers", .help = "Containers, by state.",
       .type = METRIC_GAUGE, .labels = { { "state", container_states, SANDBOX_CONTAINER_STATES } });
METRIC(metric_process_cpu, 1, .name = "process_cpu_seconds_total", .help = "CPU time of crispd.",
       .type = METRIC_COUNTER, .plain = true, .per_unit = 1000000000);
METRIC(metric_process_resident, 1, .name = "process_resident_memory_bytes",
       .help = "Resident memory of crispd.", .type = METRIC_GAUGE, .plain = true);
METRIC(metric_process_virtual, 1, .name = "process_virtual_memory_bytes", .help = "Address space of crispd.",
       .type = METRIC_GAUGE, .plain = true);
METRIC(metric_process_fds, 1, .name = "process_open_fds", .help = "Open file descriptors of crispd.",
       .type = METRIC_GAUGE, .plain = true);
METRIC(metric_process_fds_max, 1, .name = "process_max_fds", .help = "The most file descriptors it may have.",
       .type = METRIC_GAUGE, .plain = true);
METRIC(metric_process_start, 1, .name = "process_start_time_seconds",
       .help = "When crispd was started, in Unix time.", .type = METRIC_GAUGE, .plain = true,
       .per_unit = 1000000000);
METRIC(metric_process_threads, 1, .name = "process_threads", .help = "Threads of crispd.",
       .type = METRIC_GAUGE, .plain = true);

static void take_pool(struct pool *pool, size_t at)
{
	struct pool_load load = pool_load(pool);

	metric_set_at(&metric_pool_threads, at, 0, load.threads);
	metric_set_at(&metric_pool_running, at, 0, load.running);
	metric_set_at(&metric_pool_waiting, at, 0, load.waiting);
}

static void take_sandboxes(struct sandboxes *sandboxes)
{
	struct sandbox_counts counts;

	sandboxes_count(sandboxes, &counts);
	metric_set_at(&metric_pods, 0, 0, counts.ready);
	metric_set_at(&metric_pods, 1, 0, counts.not_ready);
	for (size_t i = 0; i < SANDBOX_CONTAINER_STATES; i++)
		metric_set_at(&metric_containers, i, 0, counts.containers[i]);
}

static void take_memory(void)
{
	CLEANUP(freep) char *text = NULL;
	uint64_t pages = (uint64_t)sysconf(_SC_PAGESIZE), all, resident;

	if (file_read_virtual(AT_FDCWD, "/proc/self/statm", 256, &text, NULL) < 0 ||
	    sscanf(text, "%" SCNu64 " %" SCNu64, &all, &resident) != 2)
		return;
	metric_set(&metric_process_virtual, all * pages);
	metric_set(&metric_process_resident, resident * pages);
}

static bool count_entries(const char *path, uint64_t *ret)
{
	DIR *dir = opendir(path);
	uint64_t count = 0;

	if (!dir)
		return false;
	for (const struct dirent *entry; (entry = readdir(dir));)
		count += entry->d_name[0] != '.';
	closedir(dir);
	*ret = count;
	return true;
}

static void take_process(int64_t started)
{
	struct timespec cpu;
	struct rlimit files;
	uint64_t count;

	take_memory();
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
		metric_set(&metric_process_cpu, (uint64_t)(cpu.tv_sec * NS_PER_SEC + cpu.tv_nsec));
	if (count_entries("/proc/self/fd", &count))
		metric_set(&metric_process_fds, count - 1); /* without the one that was reading */
	if (count_entries("/proc/self/task", &count))
		metric_set(&metric_process_threads, count);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		metric_set(&metric_process_fds_max, files.rlim_cur);
	metric_set(&metric_process_start, (uint64_t)started);
}

void sample_take(const struct sample_source *source)
{
	metric_set(&metric_build_info, 1);
	metric_set(&metric_calls, rpc_server_calls(source->rpc));
	take_pool(source->workers, POOL_WORKER);
	take_pool(source->service->sandbox_pool, POOL_SANDBOX);
	take_pool(source->service->image_pool, POOL_IMAGE);
	take_sandboxes(source->service->sandboxes);
	take_process(source->started);
}
