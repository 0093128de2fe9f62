/*
 * The lowerCamelCase name a protobuf field has in JSON: an underscore goes away and the letter behind it
 * becomes a capital, all else stays (CDI_devices: CDIDevices, uidMappings: uidMappings). A pure function.
 */
#ifndef PROTO_JSON_NAME_H
#define PROTO_JSON_NAME_H

enum { JSON_NAME_MAX = 128 }; /* bytes with the NUL; field names are ours, a longer one is asserted */

/* Writes into name and returns it. */
const char *json_name(const char *field, char name[JSON_NAME_MAX]);

#endif
