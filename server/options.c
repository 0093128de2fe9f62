/*
 * An override is a line of TOML, merged as the last drop-in: so it is checked, printed and reloaded like any
 * other setting, and no command has a second way of knowing a value.
 */
#include "server/options.h"

#include <getopt.h>
#include <string.h>

#include "config/toml.h"

const char options_help[] = "      --config FILE       configuration (" CONFIG_FILE ")\n"
			    "      --config-dir DIR    drop-ins *.toml (" CONFIG_DROPINS ")\n"
			    "      --root DIR          images, pods and containers\n"
			    "      --runroot DIR       what a reboot may forget (tmpfs)\n"
			    "      --listen PATH       the CRI socket\n"
			    "      --log-level LEVEL   fatal, error, warn, info, debug, trace\n";

struct override {
	const char *option, *table, *key;
};

static const struct override overrides[] = {
	{ "root", "crisp", "root" },
	{ "runroot", "crisp", "runroot" },
	{ "listen", "crisp.api", "listen" },
	{ "log-level", "crisp.runtime", "log_level" },
};

enum { OPT_CONFIG = 256, OPT_CONFIG_DIR, OPT_HELP, OPT_JSON, OPT_FORCE, OPT_IMAGES, OPT_OVERRIDE };

static const struct option known[] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "config-dir", required_argument, NULL, OPT_CONFIG_DIR },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "images", no_argument, NULL, OPT_IMAGES },
	{ "root", required_argument, NULL, OPT_OVERRIDE },
	{ "runroot", required_argument, NULL, OPT_OVERRIDE + 1 },
	{ "listen", required_argument, NULL, OPT_OVERRIDE + 2 },
	{ "log-level", required_argument, NULL, OPT_OVERRIDE + 3 },
	{ 0 },
};

/* Given twice, the last one counts, but TOML refuses a key that stands twice: so they are collected first. */
static void write_overrides(const char *const *values, struct str *out)
{
	for (size_t i = 0; i < ARRAY_LEN(overrides); i++) {
		if (!values[i])
			continue;
		str_addf(out, "%s.%s = ", overrides[i].table, overrides[i].key);
		toml_quote(out, values[i]);
		str_addc(out, '\n');
	}
}

static int take(int option, struct options *options, const char **values, unsigned int flags)
{
	switch (option) {
	case OPT_CONFIG:
		options->paths.file = optarg;
		options->paths.file_needed = true;
		return 0;
	case OPT_CONFIG_DIR:
		options->paths.dropins = optarg;
		return 0;
	case OPT_HELP:
		options->help = true;
		return 0;
	case OPT_JSON:
		options->json = true;
		return flags & OPTIONS_JSON ? 0 : -1;
	case OPT_FORCE:
		options->force = true;
		return flags & OPTIONS_WIPE ? 0 : -1;
	case OPT_IMAGES:
		options->images = true;
		return flags & OPTIONS_WIPE ? 0 : -1;
	default:
		if (option < OPT_OVERRIDE)
			return -1;
		values[option - OPT_OVERRIDE] = optarg;
		return 0;
	}
}

bool options_find_command(int argc, char **argv)
{
	opterr = 0;
	optind = 1;
	while (getopt_long(argc, argv, "+", known, NULL) >= 0)
		; /* what is wrong with an option is told by options_parse() */
	if (optind >= argc)
		return false;
	char *command = argv[optind];
	memmove(argv + 2, argv + 1, (size_t)(optind - 1) * sizeof(*argv));
	argv[1] = command;
	return true;
}

int options_parse(int argc, char **argv, unsigned int flags, struct options *ret, struct err *err)
{
	const char *values[ARRAY_LEN(overrides)] = { NULL };
	struct options options = { 0 };
	int option;

	opterr = 0;
	optind = 1;
	for (;;) {
		int at = optind;

		option = getopt_long(argc, argv, "+", known, NULL);
		if (option < 0)
			break;
		if (take(option, &options, values, flags) < 0)
			return err_set(err, RPC_INVALID_ARGUMENT,
				       "%s: unknown option, or its value is missing",
				       argv[at < argc ? at : argc - 1]);
	}
	if (optind < argc)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s: unexpected argument", argv[optind]);
	write_overrides(values, &options.overrides);
	*ret = options;
	if (ret->overrides.len)
		ret->paths.overrides = str_get(&ret->overrides);
	return 0;
}

void options_done(struct options *options)
{
	str_done(&options->overrides);
}
