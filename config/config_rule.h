/*
 * What a text in the configuration may be. A rule returns NULL when the text is fine and else what is wrong
 * with it, to stand behind the quoted text in a message: "\"x\" " + "is not an absolute path".
 */
#ifndef CONFIG_CONFIG_RULE_H
#define CONFIG_CONFIG_RULE_H

typedef const char *config_rule(const char *text); /* a function type: it declares the rules below */

config_rule rule_path;          /* absolute, no empty, "." or ".." component; one '/' at the end is allowed */
config_rule rule_socket;        /* the same, and short enough for sockaddr_un */
config_rule rule_address;       /* a numeric IPv4 or IPv6 address */
config_rule rule_cipher_suite;  /* the form of an IANA name */
config_rule rule_regex;         /* POSIX extended */
config_rule rule_env;           /* KEY=VALUE */
config_rule rule_profile;       /* an AppArmor profile's name */
config_rule rule_ulimit;        /* NAME=SOFT:HARD, see config/ulimit.h */
config_rule rule_timezone;      /* "local" or a name such as "Europe/Berlin" */
config_rule rule_sysctl;        /* KEY=VALUE of a namespaced sysctl, in dotted form */
config_rule rule_capability;    /* "CHOWN" */
config_rule rule_annotation;    /* an annotation's key */
config_rule rule_registry;      /* host[:port] */
config_rule rule_image_pattern; /* an image name, "*" for any text */
config_rule rule_handler;       /* a runtime handler's name */
config_rule rule_network;       /* "" or a network name: printable, without "/" */
config_rule rule_runtime_type;  /* "oci" */
config_rule rule_metric_group;  /* a group of pod metrics, or "all" */
config_rule rule_collector;     /* a metric's name */
config_rule rule_cgroup;        /* an absolute path, or a slice's name */
config_rule rule_no_classes;    /* nothing: crisp does not do blockio and RDT classes */
config_rule rule_endpoint;      /* host:port, or an http or https URL */

#endif
