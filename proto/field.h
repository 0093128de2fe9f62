/*
 * One field of a message, reached through its descriptor: where its value lies, how large it is, whether it
 * is set.
 *
 * For the reflective modules of this folder (message, message_json). CRI has no proto2 and no oneof fields;
 * other labels than NONE and REPEATED are our own mistake and asserted. Pure functions.
 */
#ifndef PROTO_FIELD_H
#define PROTO_FIELD_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

/* The member of a field; for repeated fields the pointer to the array. */
const void *field_at(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
void *field_to(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

bool field_repeated(const ProtobufCFieldDescriptor *field);
size_t field_count(const ProtobufCMessage *message,
		   const ProtobufCFieldDescriptor *field); /* of a repeated field */
void field_set_count(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t count);

/* Size of one value in a struct or array: 8 for int64, a pointer for text and messages. */
size_t field_value_size(const ProtobufCFieldDescriptor *field);

/* A single value at its proto3 default: 0, "", no bytes, no submessage. */
bool field_value_is_default(const ProtobufCFieldDescriptor *field, const void *value);

#endif
